"""The SQLModel tables: the truth. No relationships, no lazy loading; all SQL stands in ``workers/store/``."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import BigInteger, DateTime, Dialect, Index, Integer, LargeBinary, String, Text, UniqueConstraint, text
from sqlalchemy.types import TypeDecorator, TypeEngine
from sqlmodel import Field, SQLModel

from domain.event import INVOICE_EVENTS, ORDER_REJECTED
from domain.money import format_amount
from domain.status import SILENT, Status


class ExactAmount(TypeDecorator[Decimal]):
    """A decimal kept as its text on every database: SQLite's numeric columns go through floats."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Decimal | None, dialect: Dialect) -> str | None:
        return None if value is None else format_amount(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> Decimal | None:
        return None if value is None else Decimal(value)


class UtcTime(TypeDecorator[datetime]):
    """An aware UTC time with microseconds on every database (SQLite keeps it as sortable text)."""

    impl = DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(DateTime(timezone=dialect.name == "postgresql"))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a time without a zone must not reach the database")
        return value if dialect.name == "postgresql" else value.astimezone(UTC).replace(tzinfo=None)

    def result_processor(self, dialect: Dialect, coltype: object) -> Any:
        """None for PostgreSQL: what it sends has a zone already, that of the session, UTC."""
        return None if dialect.name == "postgresql" else super().result_processor(dialect, coltype)

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        time: datetime = value
        return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


#: The events of invoices. ``invoice.contradiction`` tells of evidence against a closed one.
INVOICE_TYPES = frozenset(
    {f"invoice.{status}" for status in Status if status not in SILENT} | {"invoice.contradiction"}
)

#: A growing row number on both databases (SQLite only counts up a plain INTEGER key).
RowNumber = BigInteger().with_variant(Integer, "sqlite")


class Invoice(SQLModel, table=True):
    """One order and what became of it."""

    __table_args__ = (
        UniqueConstraint("account", "idempotency_key", name="uq_invoice_key"),
        # first_open falls once, with the first closing, and never rises again: a late payment that reopens an
        # expired invoice must not collide with the order's next one.
        Index(
            "uq_invoice_open_order",
            "account",
            "order_id",
            unique=True,
            sqlite_where=text("first_open = 1"),
            postgresql_where=text("first_open = 1"),
        ),
        Index(
            "uq_invoice_provider_ref",
            "provider_account",
            "provider_ref",
            unique=True,
            sqlite_where=text("provider_ref IS NOT NULL"),
            postgresql_where=text("provider_ref IS NOT NULL"),
        ),
        Index("ix_invoice_order", "order_id"),
        Index("ix_invoice_status", "status", "id"),
    )

    id: str = Field(primary_key=True, max_length=40)  #: ``inv_`` + uuid7 hex: sorts by time of arrival
    account: str = Field(sa_type=String(64))  # the order's account
    provider_account: str = Field(sa_type=String(64))  #: the account that made it
    provider: str = Field(sa_type=String(32))
    order_id: str = Field(sa_type=String(128))
    idempotency_key: str = Field(sa_type=String(255))
    digest: str = Field(sa_type=String(64))  #: of the order's content: tells a repeat from a conflict
    status: str = Field(sa_type=String(20))
    anomaly: str | None = Field(default=None, sa_type=String(20))
    reason: str | None = Field(default=None, sa_type=Text)  #: why the last change happened; queued: what it waits for
    sequence: int = Field(default=0)  #: of the last event; 0 before the first
    first_open: int = Field(default=1)

    price: Decimal | None = Field(default=None, sa_type=ExactAmount)
    currency: str | None = Field(default=None, sa_type=String(16))
    pay_amount: Decimal | None = Field(default=None, sa_type=ExactAmount)
    pay_currency: str | None = Field(default=None, sa_type=String(64))
    paid_amount: Decimal | None = Field(default=None, sa_type=ExactAmount)
    network: str | None = Field(default=None, sa_type=Text)
    address: str | None = Field(default=None, sa_type=Text)
    payment_url: str | None = Field(default=None, sa_type=Text)
    qr_code: str | None = Field(default=None, sa_type=Text)
    provider_ref: str | None = Field(default=None, sa_type=String(255))
    lifetime_minutes: Decimal | None = Field(default=None, sa_type=ExactAmount)
    params: str = Field(default="{}", sa_type=Text)  #: JSON text
    metadata_json: str = Field(default="{}", sa_type=Text)  #: JSON text, exactly as it goes into events

    created_at: datetime = Field(sa_type=UtcTime)
    updated_at: datetime = Field(sa_type=UtcTime)
    create_before: datetime | None = Field(default=None, sa_type=UtcTime)
    expires_at: datetime | None = Field(default=None, sa_type=UtcTime)
    final_look_at: datetime | None = Field(default=None, sa_type=UtcTime)  #: when the look-up at expiry was asked for
    monitor_until: datetime | None = Field(default=None, sa_type=UtcTime)  #: a late payment counts until then
    refused_since: datetime | None = Field(
        default=None, sa_type=UtcTime
    )  #: the account turned away without a break since
    #: Calls that were certainly not received, in a row; below 0: that the provider put off (429), in a row.
    create_tries: int = Field(default=0)
    doubts: int = Field(default=0)  #: calls whose answer was lost
    doubted_at: datetime | None = Field(default=None, sa_type=UtcTime)  #: when the last of them was counted
    searches: int | None = Field(default=None)  #: for what that call made: so many found nothing
    search_failures: int | None = Field(default=None)  #: in a row
    sought: int | None = Field(default=None)  #: equal to ``doubts``: nothing was found, it may be created again
    twins: str | None = Field(default=None, sa_type=Text)  #: JSON list: what other calls of ours made for the order
    quiet_polls: int = Field(default=0)  #: look-ups in a row that brought nothing new
    evidence_digest: str | None = Field(default=None, sa_type=String(64))  #: of the last evidence kept
    asked_by: str | None = Field(default=None, sa_type=Text)  #: JSON list: what callbacks brought to ask by
    # What a callback says that no look-up has confirmed yet.
    called_status: str | None = Field(default=None, sa_type=String(20))
    called_word: str | None = Field(default=None, sa_type=String(64))
    called_amount: Decimal | None = Field(default=None, sa_type=ExactAmount)
    called_currency: str | None = Field(default=None, sa_type=String(64))
    called_only: int | None = Field(default=None)  #: 1: it fits no other invoice of the order
    called_at: datetime | None = Field(default=None, sa_type=UtcTime)
    called_answered_at: datetime | None = Field(default=None, sa_type=UtcTime)  #: when a look-up last answered since
    called_looks: int | None = Field(default=None)  #: look-ups since then
    contradicted: str | None = Field(default=None, sa_type=String(255))  #: kinds of contradictions that were told
    fallbacks: str | None = Field(default=None, sa_type=Text)  #: JSON list: the other accounts left to try


class Agenda(SQLModel, table=True):
    """What is to be done next, and when: the truth behind every doorbell. Narrow, because it changes all the time."""

    __table_args__ = (Index("ix_agenda_due", "stage", "lane", "due_at"),)

    stage: str = Field(primary_key=True, max_length=10)
    subject: str = Field(primary_key=True, max_length=90)  #: invoice id; DELIVER: ``endpoint/invoice``
    lane: str = Field(sa_type=String(64))  #: account or endpoint: what must not hold up others
    due_at: datetime | None = Field(default=None, sa_type=UtcTime)  #: the end of the lease while leased; NULL: parked
    lease_token: str | None = Field(default=None, sa_type=String(32))
    claims: int = Field(default=0)  #: without a completion: more than one means that a holder was lost
    pokes: int = Field(default=0)  #: work that came while the row was perhaps leased
    fence: int | None = Field(default=None, sa_type=BigInteger)  #: PUBLISH: grows with each claim of the stream's row


class DatabaseClock(SQLModel, table=True):
    """The one row about the database's clock: what it last said, and how far it was set."""

    __tablename__ = "clock"

    name: str = Field(primary_key=True, max_length=20)
    seen_at: datetime = Field(sa_type=UtcTime)  #: somebody who counts seconds by himself found it right then
    stepped_at: datetime | None = Field(default=None, sa_type=UtcTime)  #: when it was last found to have been set
    stepped_by: int | None = Field(default=None, sa_type=BigInteger)  #: microseconds
    moving_by: int | None = Field(default=None, sa_type=BigInteger)  #: microseconds that waits are being moved by
    moved_to: str | None = Field(default=None, sa_type=Text)  #: the last row that was moved, as ``stage/subject``


class KeptAnswer(SQLModel, table=True):
    """A provider's answer to a create whose commit is held up: whoever takes the row over finds it here.

    Nothing refers to it and it refers to nothing: writing it waits for nobody's lock.
    """

    __tablename__ = "kept_answer"

    invoice_id: str = Field(primary_key=True, max_length=40)
    token: str = Field(primary_key=True, max_length=32)  #: of the lease that the call was made under
    kind: str = Field(sa_type=String(24))
    detail: str = Field(sa_type=Text)  #: JSON text of the evidence's fields
    raw: str | None = Field(default=None, sa_type=Text)  #: the provider's own words, bounded
    kept_at: datetime = Field(sa_type=UtcTime)


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
    )

    number: int | None = Field(default=None, primary_key=True, sa_type=RowNumber)
    id: str = Field(sa_type=String(40), unique=True)  #: ``evt_`` + uuid7 hex, the same on every try and replay
    invoice_id: str = Field(sa_type=String(40))  #: its own id where it tells of no invoice
    sequence: int  #: 0 where it tells of no invoice
    type: str = Field(sa_type=String(40))
    body: bytes = Field(sa_type=LargeBinary)  #: the very bytes that are signed and sent
    created_at: datetime = Field(sa_type=UtcTime)
    published_at: datetime | None = Field(default=None, sa_type=UtcTime)


def interest(event_type: str) -> str:
    """The condition, in SQL, of endpoints that may want this type: an index of each type's own holds just these.

    It may find a few more than want it; their filters decide.
    """
    named = "events LIKE '%{}%'".format(event_type.replace("'", "''"))
    return f"events IS NULL OR {named}" if event_type.startswith(INVOICE_EVENTS) else named


def _interest_index(event_type: str) -> Index:
    condition = text(interest(event_type))
    name = f"ix_endpoint_{event_type.replace('.', '_')}"
    return Index(name, "id", sqlite_where=condition, postgresql_where=condition)


class Endpoint(SQLModel, table=True):
    """A receiver of webhooks."""

    __table_args__ = tuple(_interest_index(event_type) for event_type in sorted(INVOICE_TYPES | {ORDER_REJECTED}))

    id: str = Field(primary_key=True, max_length=40)
    url: str = Field(sa_type=Text)
    secrets: str = Field(sa_type=Text)  #: encrypted; newest first, comma-separated
    events: str | None = Field(default=None, sa_type=Text)  #: comma-separated types; NULL: all
    accounts: str | None = Field(default=None, sa_type=Text)  #: JSON list: only these accounts' events; NULL: all
    headers: str = Field(default="{}", sa_type=Text)  #: as the release before kept them: JSON, values in the clear
    sealed_headers: str | None = Field(default=None, sa_type=Text)  #: JSON, names with encrypted values
    max_in_flight: int = Field(sa_column_kwargs={"server_default": "50"})  #: per worker process; always given
    rotated_until: datetime | None = Field(default=None, sa_type=UtcTime)  #: the older secrets sign too until then
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
    """One try of a delivery, whatever came of it."""

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


class EvidenceRecord(SQLModel, table=True):
    """What a source said, and what came of it: only where it differs from the last or changed something."""

    __tablename__ = "evidence"
    __table_args__ = (Index("ix_evidence_invoice", "invoice_id"),)

    id: int | None = Field(default=None, primary_key=True, sa_type=RowNumber)
    invoice_id: str = Field(sa_type=String(40))
    at: datetime = Field(sa_type=UtcTime)
    kind: str = Field(sa_type=String(24))
    detail: str = Field(sa_type=Text)  #: JSON text of the evidence's fields
    raw: str | None = Field(default=None, sa_type=Text)  #: the source's own words, bounded
    verdict: str = Field(sa_type=String(16))
    source: str | None = Field(default=None, sa_type=String(16))  #: a Source of ``domain/evidence.py``
    note: str | None = Field(default=None, sa_type=Text)  #: what is wrong, for a contradiction: ``kind: words``


class PaymentRow(SQLModel, table=True):
    """A payment or a refund that was seen for an invoice: see ``domain/payments.py``. Kept as long as the invoice."""

    __tablename__ = "payment"
    __table_args__ = (
        UniqueConstraint("invoice_id", "kind", "key", name="uq_payment_key"),
        Index("ix_payment_key", "key"),
    )

    id: int | None = Field(default=None, primary_key=True, sa_type=RowNumber)
    invoice_id: str = Field(sa_type=String(40))
    kind: str = Field(sa_type=String(10))  #: payment, refund
    key: str = Field(sa_type=String(160))  #: what it is told apart by: a transaction, a reference, a mark
    source: str = Field(sa_type=String(16))  #: look-up, callback, mark: the strongest that told of it
    status: str = Field(sa_type=String(20))  #: how far it has come, by its source
    total: Decimal | None = Field(default=None, sa_type=ExactAmount)  #: as told: paid so far under its reference
    amount: Decimal | None = Field(default=None, sa_type=ExactAmount)  #: its own, may be summed
    amount_told: int = Field(default=0)  #: 0: nobody told it, it is what was asked for
    asset: str | None = Field(default=None, sa_type=String(64))  #: as told; otherwise it is the invoice's
    network: str | None = Field(default=None, sa_type=Text)
    tx_hash: str | None = Field(default=None, sa_type=Text)
    reference: str | None = Field(default=None, sa_type=Text)  #: what the provider is asked by, where it brings one
    first_seen_at: datetime = Field(sa_type=UtcTime)
    last_seen_at: datetime = Field(sa_type=UtcTime)
    folded: int = Field(default=0)  #: 1: another row tells of the same payment; not shown, not summed
    settled_status: str | None = Field(default=None, sa_type=String(20))  #: what the invoice became by it
    settled_sequence: int | None = Field(default=None)
    settled_event: str | None = Field(default=None, sa_type=String(40))
    settled_by: str | None = Field(default=None, sa_type=String(16))
    settled_at: datetime | None = Field(default=None, sa_type=UtcTime)


class Callback(SQLModel, table=True):
    """A provider's callback whose signature was right, as it came; the same bytes are kept once."""

    __tablename__ = "callback"
    __table_args__ = (
        UniqueConstraint("account", "digest", name="uq_callback_digest"),
        Index("ix_callback_order", "account", "order_id"),
        Index("ix_callback_reference", "account", "reference"),
        Index("ix_callback_state", "state", "id"),
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


class Restoration(SQLModel, table=True):
    """A restore of the database from a backup. The newest one's epoch is the one that events are numbered in."""

    epoch: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    at: datetime = Field(sa_type=UtcTime)


class RejectedMessage(SQLModel, table=True):
    """A message that was turned away, with the reason and its first 2 KiB."""

    __tablename__ = "rejected_message"

    id: int | None = Field(default=None, primary_key=True, sa_type=RowNumber)
    message_key: str = Field(sa_type=String(64), unique=True)  #: so that a redelivered message is listed once
    at: datetime = Field(sa_type=UtcTime)
    task: str | None = Field(default=None, sa_type=String(255))
    reason: str = Field(sa_type=Text)
    excerpt: str = Field(sa_type=Text)
    complete: bool = Field(default=True)  #: the excerpt is the whole message, so it can be sent again
    redriven_at: datetime | None = Field(default=None, sa_type=UtcTime)
