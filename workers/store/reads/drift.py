"""What providers' answers had that they never had before."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from sqlalchemy import Connection, func, select

from domain.drift import MOST_INVOICES, Kind, Novelty
from domain.event import format_time
from workers.store.rows import StoredRow
from workers.store.tables import DRIFT, DRIFT_INVOICE
from workers.store.tables.columns import UtcTime


def list_drifts(
    connection: Connection,
    *,
    limit: int = 0,
    account: str | None = None,
    accounts: Collection[str] | None = None,
    accepted_too: bool = False,
    before: int | None = None,
) -> Sequence[StoredRow]:
    """Newest first, each with how many ``invoices`` are counted and when the last of them came (``last_at``). Of these
    ``accounts`` only (None: of all), and from numbers below ``before``."""
    counted = select(func.count(), func.max(DRIFT_INVOICE.c.at, type_=UtcTime)).where(
        DRIFT_INVOICE.c.drift_id == DRIFT.c.id
    )
    invoices, last_at = (counted.with_only_columns(one).scalar_subquery() for one in counted.selected_columns)
    query = select(DRIFT, invoices.label("invoices"), last_at.label("last_at")).order_by(DRIFT.c.id.desc())
    if before is not None:
        query = query.where(DRIFT.c.id < before)
    if accounts is not None:
        query = query.where(DRIFT.c.account.in_(sorted(accounts)))
    if account is not None:
        query = query.where(DRIFT.c.account == account)
    if not accepted_too:
        query = query.where(DRIFT.c.accepted_at.is_(None))
    return connection.execute(query.limit(limit) if limit else query).all()


def drifts_of(connection: Connection, invoice_id: str) -> Sequence[StoredRow]:
    """Unaccepted ones that an answer about this invoice had, oldest first."""
    query = select(DRIFT).join(DRIFT_INVOICE, DRIFT_INVOICE.c.drift_id == DRIFT.c.id)
    query = query.where(DRIFT_INVOICE.c.invoice_id == invoice_id, DRIFT.c.accepted_at.is_(None))
    return connection.execute(query.order_by(DRIFT.c.id)).all()


def open_drifts(connection: Connection) -> Sequence[StoredRow]:
    """How many are open, and since when, by ``account`` and ``kind``."""
    query = select(DRIFT.c.account, DRIFT.c.kind, func.count().label("open"), func.min(DRIFT.c.since).label("since"))
    query = query.where(DRIFT.c.accepted_at.is_(None)).group_by(DRIFT.c.account, DRIFT.c.kind)
    return connection.execute(query.order_by(DRIFT.c.account, DRIFT.c.kind)).all()


def sentence_of(row: StoredRow) -> str:
    """What is new, in plain words."""
    return _novelty(row).sentence


def short_of(row: StoredRow) -> str:
    """The same in a few words, for a table."""
    return _novelty(row).short


def _novelty(row: StoredRow) -> Novelty:
    kind: Kind = row.kind
    return Novelty(row.account, row.provider, kind, row.call, row.field, row.value)


def drift_fields(row: StoredRow) -> dict[str, object]:
    """As JSON; ``invoices`` is counted up to a bound."""
    fields: dict[str, object] = {
        "id": row.id,
        "account": row.account,
        "provider": row.provider,
        "kind": row.kind,
        "call": row.call or None,
        "field": row.field or None,
        "value": row.value or None,
        "text": sentence_of(row),
        "since": format_time(row.since),
        "event": row.event_id,
        "accepted_at": None if row.accepted_at is None else format_time(row.accepted_at),
    }
    if "invoices" in row._mapping:
        last_at = None if row.last_at is None else format_time(row.last_at)
        fields |= {"invoices": row.invoices, "last_at": last_at}
    return fields


def counted_in_words(invoices: int) -> str:
    """``12``, ``1000 or more``."""
    return f"{invoices} or more" if invoices >= MOST_INVOICES else str(invoices)
