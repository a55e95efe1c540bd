"""What providers' answers had that they never had before."""

from datetime import datetime

from sqlalchemy import Index, String, UniqueConstraint
from sqlmodel import Field, SQLModel

from workers.store.tables.columns import RowNumber, UtcTime


class ProviderDrift(SQLModel, table=True):
    """One new thing in an account's answers; ``domain.drift.Novelty`` says what its fields mean. Empty text: none."""

    __tablename__ = "provider_drift"
    __table_args__ = (UniqueConstraint("account", "kind", "call", "field", "value", name="uq_provider_drift"),)

    id: int | None = Field(default=None, primary_key=True, sa_type=RowNumber)
    account: str = Field(sa_type=String(128))
    provider: str = Field(sa_type=String(64))
    kind: str = Field(sa_type=String(12))
    call: str = Field(sa_type=String(20))
    field: str = Field(sa_type=String(120))
    value: str = Field(sa_type=String(40))
    since: datetime = Field(sa_type=UtcTime)
    event_id: str = Field(sa_type=String(40))  #: the event that told of it
    accepted_at: datetime | None = Field(default=None, sa_type=UtcTime)  #: by an operator; NULL: open


class DriftInvoice(SQLModel, table=True):
    """An invoice whose answer had it. Kept up to a bound."""

    __tablename__ = "drift_invoice"
    __table_args__ = (Index("ix_drift_invoice", "invoice_id"),)

    drift_id: int = Field(primary_key=True, sa_type=RowNumber, sa_column_kwargs={"autoincrement": False})
    invoice_id: str = Field(primary_key=True, max_length=40)
    at: datetime = Field(sa_type=UtcTime)
