"""Events, the endpoints that are told of them, and how that went."""

from datetime import datetime

from sqlalchemy import BigInteger, Index, LargeBinary, SmallInteger, String, Text, UniqueConstraint, text
from sqlmodel import Field, SQLModel

from domain.event import INVOICE_TYPES, NAMED_ONLY
from workers.store.tables.columns import RowNumber, UtcTime
from workers.store.tables.conditions import FAILING
from workers.store.tables.interest import interest


class Event(SQLModel, table=True):
    """The outbox and the history: written in the transaction of the change it tells."""

    __table_args__ = (
        UniqueConstraint("invoice_id", "sequence", name="uq_event_sequence"),
        Index(
            "ix_event_unpublished",
            "number",
            sqlite_where=text("published_at IS NULL"),
            postgresql_where=text("published_at IS NULL"),
        ),
        Index(
            "ix_event_unplaced",
            "number",
            sqlite_where=text("positioned IS NULL"),
            postgresql_where=text("positioned IS NULL"),
        ),
    )

    number: int | None = Field(default=None, primary_key=True, sa_type=RowNumber)
    id: str = Field(sa_type=String(40), unique=True)  #: ``evt_`` + uuid7 hex, the same on every try and replay
    invoice_id: str = Field(sa_type=String(40))  #: its own id where it tells of no invoice
    sequence: int  #: 0 where it tells of no invoice
    type: str = Field(sa_type=String(40))
    body: bytes = Field(sa_type=LargeBinary)  #: the very bytes that are signed and sent
    created_at: datetime = Field(sa_type=UtcTime)
    published_at: datetime | None = Field(default=None, sa_type=UtcTime)
    #: 1: it has a position. NULL: it has none, or has just got one and the stream is being told.
    positioned: int | None = Field(default=None, sa_type=SmallInteger)


class EventLog(SQLModel, table=True):
    """The one row that is locked while positions are given, and while events with positions are removed."""

    __tablename__ = "event_log"

    name: str = Field(primary_key=True, max_length=20)
    newest: int = Field(sa_type=BigInteger)  #: the last position that was given; 0 before the first
    removed: int = Field(sa_type=BigInteger)  #: some of the events up to this position are gone


class EventPosition(SQLModel, table=True):
    """An event's place in the order that readers of the log follow. Narrow, to save writing the event's row once
    more."""

    __tablename__ = "event_position"

    position: int = Field(primary_key=True, sa_type=RowNumber, sa_column_kwargs={"autoincrement": False})
    event_number: int = Field(sa_type=RowNumber, unique=True)
    account: str | None = Field(default=None, sa_type=String(128))  #: whose event it is; NULL: everybody's


def _interest_index(event_type: str) -> Index:
    condition = text(interest(event_type))
    name = f"ix_endpoint_{event_type.replace('.', '_')}"
    return Index(name, "id", sqlite_where=condition, postgresql_where=condition)


class Endpoint(SQLModel, table=True):
    """Where webhooks are sent."""

    __table_args__ = tuple(_interest_index(event_type) for event_type in sorted(INVOICE_TYPES | NAMED_ONLY))

    id: str = Field(primary_key=True, max_length=40)
    url: str = Field(sa_type=Text)
    secrets: str = Field(sa_type=Text)  #: encrypted; newest first, comma-separated
    events: str | None = Field(default=None, sa_type=Text)  #: comma-separated types; NULL: all
    accounts: str | None = Field(default=None, sa_type=Text)  #: JSON list: only these accounts' events; NULL: all
    headers: str = Field(default="{}", sa_type=Text)  #: as the release before kept them: JSON, values in the clear
    sealed_headers: str | None = Field(default=None, sa_type=Text)  #: JSON, names with encrypted values
    max_in_flight: int = Field(sa_column_kwargs={"server_default": "50"})  #: per worker process; always given
    rotated_until: datetime | None = Field(default=None, sa_type=UtcTime)  #: until then the older secrets sign too
    created_at: datetime = Field(sa_type=UtcTime)
    disabled_at: datetime | None = Field(default=None, sa_type=UtcTime)  #: its deliveries wait while it is set
    disabled_reason: str | None = Field(default=None, sa_type=Text)


class Delivery(SQLModel, table=True):
    """One event on its way to one endpoint."""

    __table_args__ = (
        UniqueConstraint("endpoint_id", "event_number", name="uq_delivery_event"),
        Index(
            "ix_delivery_next",
            "endpoint_id",
            "invoice_id",
            "sequence",
            sqlite_where=text("state = 'due'"),
            postgresql_where=text("state = 'due'"),
        ),
        Index(
            "ix_delivery_dead",
            "endpoint_id",
            "event_number",
            sqlite_where=text("state = 'dead'"),
            postgresql_where=text("state = 'dead'"),
        ),
        Index("ix_delivery_failing", "id", sqlite_where=text(FAILING), postgresql_where=text(FAILING)),
    )

    id: int | None = Field(default=None, primary_key=True, sa_type=RowNumber)
    endpoint_id: str = Field(sa_type=String(40))
    event_number: int = Field(sa_type=RowNumber)
    invoice_id: str = Field(sa_type=String(40))
    sequence: int
    state: str = Field(default="due", sa_type=String(12))  #: due, delivered, dead
    tries: int = Field(default=0)
    next_try_at: datetime | None = Field(default=None, sa_type=UtcTime)
    created_at: datetime = Field(sa_type=UtcTime)
    finished_at: datetime | None = Field(default=None, sa_type=UtcTime)


class DeliveryAttempt(SQLModel, table=True):
    """One attempt at a delivery, whatever came of it."""

    __tablename__ = "delivery_attempt"
    __table_args__ = (Index("ix_attempt_delivery", "delivery_id"),)

    id: int | None = Field(default=None, primary_key=True, sa_type=RowNumber)
    delivery_id: int = Field(sa_type=RowNumber)
    at: datetime = Field(sa_type=UtcTime)
    outcome: str = Field(sa_type=String(20))
    status: int | None = None
    latency_ms: int = 0
    answer: bytes | None = Field(default=None, sa_type=LargeBinary)  #: its first 2 KiB
    error: str | None = Field(default=None, sa_type=Text)
    next_try_at: datetime | None = Field(default=None, sa_type=UtcTime)
