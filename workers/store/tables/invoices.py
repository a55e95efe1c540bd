"""An order's invoice, what was said of it, and the payments that were seen for it."""

from datetime import datetime
from decimal import Decimal

from sqlalchemy import Index, String, Text, UniqueConstraint, text
from sqlmodel import Field, SQLModel

from workers.store.tables.columns import ExactAmount, RowNumber, UtcTime
from workers.store.tables.conditions import BOOKED, HELD_UP, UNBOOKED

#: In SQL: what was said against what is known.
AGAINST = "verdict = 'contradiction'"
_REFUSED = text("refused_since IS NOT NULL")
_UNUSUAL = text("anomaly IS NOT NULL")
_MADE = text("provider_ref IS NOT NULL")
_BOOKED, _UNBOOKED = text(BOOKED), text(UNBOOKED)


class Invoice(SQLModel, table=True):
    """One order and what became of it."""

    __table_args__ = (
        UniqueConstraint("account", "idempotency_key", name="uq_invoice_key"),
        # first_open goes to 0 when the invoice is first closed, for good: a late payment that reopens an expired
        # invoice must not collide with the order's next one.
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
            sqlite_where=_MADE,
            postgresql_where=_MADE,
        ),
        Index("ix_invoice_order", "order_id"),
        Index(
            "ix_invoice_address",
            "address",
            sqlite_where=text("address IS NOT NULL"),
            postgresql_where=text("address IS NOT NULL"),
            postgresql_using="hash",
        ),
        Index("ix_invoice_status", "status", "id"),
        Index(
            "ix_invoice_held_up",
            "status",
            "id",
            sqlite_where=text(HELD_UP),
            postgresql_where=text(HELD_UP),
        ),
        Index("ix_invoice_anomaly", "id", sqlite_where=_UNUSUAL, postgresql_where=_UNUSUAL),
        Index("ix_invoice_refused", "status", "provider_account", sqlite_where=_REFUSED, postgresql_where=_REFUSED),
    )

    id: str = Field(primary_key=True, max_length=40)  #: ``inv_`` + uuid7 hex: sorts by time of arrival
    account: str = Field(sa_type=String(64))  #: the order's account
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
    #: Since when the account has been turned away without a break.
    refused_since: datetime | None = Field(default=None, sa_type=UtcTime)
    #: Calls in a row that were certainly not received; below 0: calls in a row that the provider put off (429).
    create_tries: int = Field(default=0)
    doubts: int = Field(default=0)  #: calls whose answer was lost
    doubted_at: datetime | None = Field(default=None, sa_type=UtcTime)  #: when the last of them was counted
    searches: int | None = Field(default=None)  #: for what that call made: how many found nothing
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
    contradicted: str | None = Field(default=None, sa_type=String(255))  #: see ``domain/contradicted.py``
    fallbacks: str | None = Field(default=None, sa_type=Text)  #: JSON list: the other accounts left to try
    trace: str | None = Field(default=None, sa_type=Text)  #: the order's; see ``domain/trace.py``


class EvidenceRecord(SQLModel, table=True):
    """What a source said, and what came of it: only where it differs from the last or changed something."""

    __tablename__ = "evidence"
    __table_args__ = (
        Index("ix_evidence_invoice", "invoice_id"),
        Index("ix_evidence_against", "id", sqlite_where=text(AGAINST), postgresql_where=text(AGAINST)),
    )

    id: int | None = Field(default=None, primary_key=True, sa_type=RowNumber)
    invoice_id: str = Field(sa_type=String(40))
    at: datetime = Field(sa_type=UtcTime)
    kind: str = Field(sa_type=String(24))
    detail: str = Field(sa_type=Text)  #: JSON text of the evidence's fields
    raw: str | None = Field(default=None, sa_type=Text)  #: the source's own words, bounded
    verdict: str = Field(sa_type=String(16))
    source: str | None = Field(default=None, sa_type=String(16))  #: a Source of ``domain/evidence.py``
    note: str | None = Field(default=None, sa_type=Text)  #: what is wrong, for a contradiction: ``kind: words``
    repeats: int | None = None  #: how often the same was said again right after
    last_at: datetime | None = Field(default=None, sa_type=UtcTime)  #: when it was last said


class PaymentRow(SQLModel, table=True):
    """A payment or a refund that was seen for an invoice: see ``domain/payments.py``. Kept as long as the invoice."""

    __tablename__ = "payment"
    __table_args__ = (
        UniqueConstraint("invoice_id", "kind", "key", name="uq_payment_key"),
        Index("ix_payment_key", "key"),
        Index("ix_payment_booked", "booked_at", "id", sqlite_where=_BOOKED, postgresql_where=_BOOKED),
        Index("ix_payment_unbooked", "first_seen_at", "id", sqlite_where=_UNBOOKED, postgresql_where=_UNBOOKED),
    )

    id: int | None = Field(default=None, primary_key=True, sa_type=RowNumber)
    invoice_id: str = Field(sa_type=String(40))
    kind: str = Field(sa_type=String(10))  #: payment, refund, correction
    key: str = Field(sa_type=String(160))  #: what identifies it: a transaction, a reference, a mark
    source: str = Field(sa_type=String(16))  #: look-up, callback, mark: the strongest that told of it
    status: str = Field(sa_type=String(20))  #: how far it has come, by its source
    total: Decimal | None = Field(default=None, sa_type=ExactAmount)  #: as told: paid so far under its reference
    amount: Decimal | None = Field(default=None, sa_type=ExactAmount)  #: its own part; may be summed
    amount_told: int = Field(default=0)  #: 0: nobody told it; it is the amount that was asked for
    asset: str | None = Field(default=None, sa_type=String(64))  #: as told; otherwise it is the invoice's
    network: str | None = Field(default=None, sa_type=Text)
    tx_hash: str | None = Field(default=None, sa_type=Text)
    reference: str | None = Field(default=None, sa_type=Text)  #: what the provider can be asked by, if it brought one
    first_seen_at: datetime = Field(sa_type=UtcTime)
    last_seen_at: datetime = Field(sa_type=UtcTime)
    folded: int = Field(default=0)  #: 1: another row tells of the same payment; not shown, not summed
    settled_status: str | None = Field(default=None, sa_type=String(20))  #: what the invoice became by it
    settled_sequence: int | None = Field(default=None)
    settled_event: str | None = Field(default=None, sa_type=String(40))
    settled_by: str | None = Field(default=None, sa_type=String(16))
    settled_at: datetime | None = Field(default=None, sa_type=UtcTime)
    # Its line of the books: see ``domain/booking.py``. Once written it never changes.
    booked_at: datetime | None = Field(default=None, sa_type=UtcTime)
    booked: Decimal | None = Field(default=None, sa_type=ExactAmount)  #: with what amount
    booked_told: int = Field(default=0, sa_column_kwargs={"server_default": "0"})  #: 0: nobody had told it
