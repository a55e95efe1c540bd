"""What came in from outside, and what of that was turned away."""

from datetime import datetime
from decimal import Decimal

from sqlalchemy import Index, LargeBinary, String, Text, UniqueConstraint, text
from sqlmodel import Field, SQLModel

from workers.store.tables.columns import ExactAmount, RowNumber, UtcTime


class Callback(SQLModel, table=True):
    """A provider's callback whose signature was right, as it came; the same bytes are kept once."""

    __tablename__ = "callback"
    __table_args__ = (
        UniqueConstraint("account", "digest", name="uq_callback_digest"),
        Index("ix_callback_order", "account", "order_id"),
        Index("ix_callback_reference", "account", "reference"),
        Index("ix_callback_state", "state", "id"),
        Index("ix_callback_account", "account", "id"),
    )

    id: int | None = Field(default=None, primary_key=True, sa_type=RowNumber)
    account: str = Field(sa_type=String(64))
    at: datetime = Field(sa_type=UtcTime)
    digest: str = Field(sa_type=String(64))  #: SHA-256 of the body
    body: bytes = Field(sa_type=LargeBinary)
    headers: str = Field(sa_type=Text)  #: JSON text of the chosen ones
    order_id: str | None = Field(default=None, sa_type=String(255))
    reference: str | None = Field(default=None, sa_type=String(255))
    word: str | None = Field(default=None, sa_type=String(64))  #: the provider's own word for its status
    amount: Decimal | None = Field(default=None, sa_type=ExactAmount)
    state: str = Field(default="new", sa_type=String(12))  #: new, matched, unmatched, dismissed
    invoice_id: str | None = Field(default=None, sa_type=String(40))
    reason: str | None = Field(default=None, sa_type=Text)  #: why it is unmatched, or was linked or dismissed by hand


class ForgedCallback(SQLModel, table=True):
    """A callback whose signature was not right: one of the newest, for people to look at."""

    __tablename__ = "forged_callback"

    id: int | None = Field(default=None, primary_key=True, sa_type=RowNumber)
    at: datetime = Field(sa_type=UtcTime)
    account: str | None = Field(default=None, sa_type=String(64))  #: None: it named none that is configured
    why: str = Field(sa_type=String(255))
    client: str | None = Field(default=None, sa_type=String(64))  #: the address that it came from
    size: int  #: of the whole body, in bytes
    body: bytes = Field(sa_type=LargeBinary)  #: its beginning
    headers: str = Field(sa_type=Text)  #: JSON text: values of the harmless ones, names of all


_WAITING = text("redriven_at IS NULL")


class RejectedMessage(SQLModel, table=True):
    """A message that was rejected, with the reason and its first 2 KiB."""

    __tablename__ = "rejected_message"
    __table_args__ = (Index("ix_rejected_waiting", "id", sqlite_where=_WAITING, postgresql_where=_WAITING),)

    id: int | None = Field(default=None, primary_key=True, sa_type=RowNumber)
    message_key: str = Field(sa_type=String(64), unique=True)  #: so that a redelivered message is listed once
    at: datetime = Field(sa_type=UtcTime)
    task: str | None = Field(default=None, sa_type=String(255))
    reason: str = Field(sa_type=Text)
    excerpt: str = Field(sa_type=Text)
    complete: bool = Field(default=True)  #: the excerpt is the whole message, so it can be sent again
    redriven_at: datetime | None = Field(default=None, sa_type=UtcTime)
