"""What operators did."""

from datetime import datetime

from sqlalchemy import Index, String, Text
from sqlmodel import Field, SQLModel

from workers.store.tables.columns import LONGEST_NAME, LONGEST_ORIGIN, RowNumber, UtcTime


class OperatorAct(SQLModel, table=True):
    """One act of an operator. Append-only."""

    __tablename__ = "operator_act"
    __table_args__ = (
        Index("ix_operator_act_invoice", "invoice_id", "id"),
        Index("ix_operator_act_endpoint", "endpoint_id", "id"),
    )

    id: int | None = Field(default=None, primary_key=True, sa_type=RowNumber)
    at: datetime = Field(sa_type=UtcTime)  #: the database's clock
    by: str = Field(sa_type=String(LONGEST_NAME))
    origin: str = Field(sa_type=String(LONGEST_ORIGIN))  #: the interface, and the host and user, or session, behind it
    act: str = Field(sa_type=String(32))
    invoice_id: str | None = Field(default=None, sa_type=String(40))
    endpoint_id: str | None = Field(default=None, sa_type=String(40))
    account: str | None = Field(default=None, sa_type=String(64))
    callback_id: int | None = Field(default=None, sa_type=RowNumber)
    message_id: int | None = Field(default=None, sa_type=RowNumber)  #: of a rejected message
    reason: str | None = Field(default=None, sa_type=Text)
    before: str | None = Field(default=None, sa_type=Text)  #: JSON text; nothing secret
    after: str | None = Field(default=None, sa_type=Text)
