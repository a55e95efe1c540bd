"""What people ask the database: invoices, events, deliveries, rejected messages, counts.

Rows have the columns of ``workers/store/tables`` as attributes, amounts as Decimal and times in UTC.
Long results are read in pages, each in a transaction of its own: a slow reader (a pager, a pipe) neither keeps old row
versions alive nor holds a connection.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from sqlalchemy import ColumnElement, Connection, FromClause, and_, case, func, select, update

from workers.store.database import Database
from workers.store.rows import Query, StoredRow
from workers.store.seek import earlier, later
from workers.store.tables import ATTEMPT, CALLBACK, DELIVERY, ENDPOINT, EVENT, EVIDENCE, INVOICE, REJECTED

Item = TypeVar("Item")

PAGE_ROWS = 500

#: Shown as ``parked``: due, but its endpoint is disabled. No agenda row is parked for that.
_delivery_state: ColumnElement[str] = case(
    (and_(DELIVERY.c.state == "due", ENDPOINT.c.disabled_at.is_not(None)), "parked"), else_=DELIVERY.c.state
)

_deliveries = (
    select(DELIVERY, EVENT.c.id.label("event_id"), EVENT.c.type, _delivery_state.label("shown_state"))
    .join(EVENT, EVENT.c.number == DELIVERY.c.event_number)
    .join(ENDPOINT, ENDPOINT.c.id == DELIVERY.c.endpoint_id)
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which invoices: ``since`` ≤ ``created_at`` < ``until``. Of what is empty or None: any."""

    statuses: Collection[str] = ()
    accounts: Collection[str] = ()
    anomalies: Collection[str] = ()
    assets: Collection[str] = ()
    order_id: str | None = None
    since: datetime | None = None
    until: datetime | None = None


def list_invoices(database: Database, wanted: Wanted, *, limit: int = 50) -> Iterator[StoredRow]:
    """Newest first. ``limit`` 0: all of them."""
    return newest_first(database, select(INVOICE).where(*_conditions(wanted)), "id", limit)


def count_invoices(connection: Connection, wanted: Wanted) -> tuple[int, datetime | None]:
    """How many ``list_invoices`` would find, and when the oldest of them was made."""
    counted = select(func.count(), func.min(INVOICE.c.created_at))
    number, oldest = connection.execute(counted.where(*_conditions(wanted))).one()
    return number, oldest


def _conditions(wanted: Wanted) -> Iterator[ColumnElement[bool]]:
    kinds = {
        "status": wanted.statuses or None,
        "account": wanted.accounts or None,
        "anomaly": wanted.anomalies or None,
        "pay_currency": wanted.assets or None,
    }
    yield from of_kinds(INVOICE, kinds, wanted.since, wanted.until)
    if wanted.order_id is not None:
        yield INVOICE.c.order_id == wanted.order_id
    if wanted.since is not None:
        yield INVOICE.c.id >= earliest_id(earlier(wanted.since))
    if wanted.until is not None:
        yield INVOICE.c.id < earliest_id(later(wanted.until))


def of_kinds(
    table: FromClause, kinds: Mapping[str, Collection[str] | None], since: datetime | None, until: datetime | None
) -> Iterator[ColumnElement[bool]]:
    """Invoices that have one of the words in each of these columns (None: any), and were made in that time."""
    for column, words in kinds.items():
        if words is not None:
            yield table.c[column].in_(sorted(words))
    if since is not None:
        yield table.c.created_at >= since
    if until is not None:
        yield table.c.created_at < until


def find_invoice(connection: Connection, name: str, account: str | None = None) -> StoredRow | None:
    """The invoice with this id; otherwise the newest one with this order id (of that account, where one is given)."""
    found = connection.execute(select(INVOICE).where(INVOICE.c.id == name)).one_or_none()
    if found is not None:
        return found
    orders = select(INVOICE).where(INVOICE.c.order_id == name)
    if account is not None:
        orders = orders.where(INVOICE.c.account == account)
    return connection.execute(orders.order_by(INVOICE.c.id.desc()).limit(1)).one_or_none()


def events_of(connection: Connection, invoice_id: str) -> Sequence[StoredRow]:
    """An invoice's events in their order."""
    return connection.execute(select(EVENT).where(EVENT.c.invoice_id == invoice_id).order_by(EVENT.c.sequence)).all()


def evidence_of(connection: Connection, invoice_id: str) -> Sequence[StoredRow]:
    """What was said about an invoice, oldest first."""
    return connection.execute(select(EVIDENCE).where(EVIDENCE.c.invoice_id == invoice_id).order_by(EVIDENCE.c.id)).all()


def count_by_status(connection: Connection) -> dict[str, int]:
    """How many invoices there are in each status that occurs."""
    query = select(INVOICE.c.status, func.count().label("invoices")).group_by(INVOICE.c.status)
    counted = connection.execute(query).all()
    return {row.status: row.invoices for row in counted}


def count_events(connection: Connection) -> tuple[int, int]:
    """How many events are written, and how often they are still to be told (stream, webhooks)."""
    told = select(func.count(), func.count().filter(EVENT.c.published_at.is_(None))).select_from(EVENT)
    written, unpublished = connection.execute(told).one()
    due = connection.execute(select(func.count()).select_from(DELIVERY).where(DELIVERY.c.state == "due")).scalar_one()
    return written, unpublished + due


def every_invoice(connection: Connection) -> Sequence[StoredRow]:
    """All of them, at once: for small databases such as a demo's."""
    return connection.execute(select(INVOICE)).all()


def callback_digests(connection: Connection) -> Sequence[str]:
    """The digest of every callback that is kept, at once: for small databases such as a demo's."""
    return connection.execute(select(CALLBACK.c.digest)).scalars().all()


def every_event(connection: Connection) -> Sequence[StoredRow]:
    """All of them in the order they were written, at once: for small databases such as a demo's."""
    return connection.execute(select(EVENT).order_by(EVENT.c.number)).all()


def changed_invoices(connection: Connection, limit: int) -> Sequence[StoredRow]:
    """The invoices with the newest events, newest first, each once.

    Looks at the newest events by their key, ten for each invoice asked for: the cost does not grow with the table.
    """
    recent = (
        select(EVENT.c.number, EVENT.c.invoice_id)
        .where(EVENT.c.sequence > 0)
        .order_by(EVENT.c.number.desc())
        .limit(10 * limit)
        .subquery()
    )
    newest = (
        select(recent.c.invoice_id, func.max(recent.c.number).label("number"))
        .group_by(recent.c.invoice_id)
        .order_by(func.max(recent.c.number).desc())
        .limit(limit)
        .subquery()
    )
    return connection.execute(
        select(INVOICE).join(newest, newest.c.invoice_id == INVOICE.c.id).order_by(newest.c.number.desc())
    ).all()


def last_event_number(connection: Connection) -> int:
    """The newest event's number; as good as their count, for a rate."""
    return int(connection.execute(select(func.coalesce(func.max(EVENT.c.number), 0))).scalar_one())


def list_deliveries(
    database: Database,
    *,
    endpoint: str | None = None,
    invoice: str | None = None,
    state: str | None = None,
    missed: bool = False,
    since: datetime | None = None,
    until: datetime | None = None,
    limit: int = 50,
) -> Iterator[tuple[StoredRow, Sequence[StoredRow]]]:
    """Deliveries with their attempts (oldest first), newest delivery first; ``limit`` 0 means all.

    ``state``: due, parked (due, but the endpoint is disabled), delivered or dead. ``missed``: due or dead. ``since`` ≤
    the time of the event < ``until``.
    """
    query = _deliveries
    if endpoint is not None:
        query = query.where(DELIVERY.c.endpoint_id == endpoint)
    if invoice is not None:
        query = query.where(DELIVERY.c.invoice_id == invoice)
    if state is not None:
        query = query.where(_delivery_state == state)
    if missed:
        query = query.where(DELIVERY.c.state.in_(("due", "dead")))
    if since is not None:
        query = query.where(EVENT.c.created_at >= since)
    if until is not None:
        query = query.where(EVENT.c.created_at < until)
    return _pages(database, query, "id", limit, with_attempts)


def page_of_deliveries(
    connection: Connection,
    *,
    endpoints: Collection[str] | None,
    state: str | None,
    invoice: str | None,
    before: int | None,
    limit: int,
) -> list[tuple[StoredRow, Sequence[StoredRow]]]:
    """The same to these endpoints (None: to all), those with numbers below ``before``."""
    query = _deliveries.order_by(DELIVERY.c.id.desc()).limit(limit)
    if endpoints is not None:
        query = query.where(DELIVERY.c.endpoint_id.in_(sorted(endpoints)))
    for column, wanted in ((_delivery_state, state), (DELIVERY.c.invoice_id, invoice)):
        if wanted is not None:
            query = query.where(column == wanted)
    if before is not None:
        query = query.where(DELIVERY.c.id < before)
    return with_attempts(connection, connection.execute(query).all())


def find_deliveries(connection: Connection, name: str) -> list[tuple[StoredRow, Sequence[StoredRow]]]:
    """The delivery of this number, or every delivery of the event with this id, with their attempts, oldest first."""
    query = _deliveries.where(EVENT.c.id == name)
    if name.isascii() and name.isdecimal() and len(name) < 19:
        query = _deliveries.where(DELIVERY.c.id == int(name))
    return with_attempts(connection, connection.execute(query.order_by(DELIVERY.c.id)).all())


def deliveries_of_events(connection: Connection, numbers: Sequence[int]) -> list[tuple[StoredRow, Sequence[StoredRow]]]:
    """The deliveries of these events with their attempts, oldest first. The index it uses begins with the endpoint."""
    of_endpoints = DELIVERY.c.endpoint_id.in_(select(ENDPOINT.c.id))
    query = _deliveries.where(of_endpoints, DELIVERY.c.event_number.in_(numbers)).order_by(DELIVERY.c.id)
    return with_attempts(connection, connection.execute(query).all())


def delivery_before(connection: Connection, delivery: StoredRow) -> StoredRow | None:
    """The older delivery that an unfinished one waits for: the first unfinished one of its endpoint and invoice."""
    same = (DELIVERY.c.endpoint_id == delivery.endpoint_id) & (DELIVERY.c.invoice_id == delivery.invoice_id)
    older = select(DELIVERY).where(same, DELIVERY.c.state == "due", DELIVERY.c.sequence < delivery.sequence)
    return connection.execute(older.order_by(DELIVERY.c.sequence).limit(1)).one_or_none()


def with_attempts(connection: Connection, page: Sequence[StoredRow]) -> list[tuple[StoredRow, Sequence[StoredRow]]]:
    """These deliveries, each with its attempts, oldest first."""
    ids = [row.id for row in page]
    attempts = connection.execute(
        select(ATTEMPT).where(ATTEMPT.c.delivery_id.in_(ids)).order_by(ATTEMPT.c.delivery_id, ATTEMPT.c.id)
    ).all()
    of: dict[int, list[StoredRow]] = {}
    for attempt in attempts:
        of.setdefault(attempt.delivery_id, []).append(attempt)
    return [(row, of.get(row.id, [])) for row in page]


def list_rejected(database: Database, *, limit: int = 50, waiting: bool = False) -> Iterator[StoredRow]:
    """Messages that were rejected, newest first; ``waiting``: only those not sent again yet."""
    query = select(REJECTED)
    if waiting:
        query = query.where(REJECTED.c.redriven_at.is_(None))
    return newest_first(database, query, "id", limit)


def rejected_by_id(connection: Connection, ids: Sequence[int]) -> Sequence[StoredRow]:
    """The rejected messages with these numbers, oldest first; unknown numbers are left out."""
    return connection.execute(select(REJECTED).where(REJECTED.c.id.in_(ids)).order_by(REJECTED.c.id)).all()


def mark_redriven(connection: Connection, message_key: str, now: datetime) -> None:
    """Remember that a rejected message was sent again. By its key: SQLite may have given its number to another."""
    connection.execute(update(REJECTED).where(REJECTED.c.message_key == message_key).values(redriven_at=now))


def count_rejected(connection: Connection, *, waiting: bool = False) -> int:
    """How many messages were turned away; ``waiting``: only those not sent again yet."""
    query = select(func.count()).select_from(REJECTED)
    if waiting:
        query = query.where(REJECTED.c.redriven_at.is_(None))
    return int(connection.execute(query).scalar_one())


def earliest_id(time: datetime, prefix: str = "inv") -> str:
    """The smallest id of an invoice, or of what has another prefix, made at ``time``: a UUID of version 7 begins with
    its milliseconds, by the clock of the host that made it. A caller that needs all of them asks for a time that is
    ``SLACK`` earlier or later."""
    return f"{prefix}_{max(0, int(time.timestamp() * 1000)):012x}"


def newest_first(database: Database, query: Query, key: str, limit: int) -> Iterator[StoredRow]:
    """The rows of ``query``, by descending ``key``; ``limit`` 0: all of them."""
    return _pages(database, query, key, limit, lambda _, page: page)


def _pages(
    database: Database,
    query: Query,
    key: str,
    limit: int,
    complete: Callable[[Connection, Sequence[StoredRow]], Sequence[Item]],
) -> Iterator[Item]:
    """The rows of ``query``, by descending ``key``, a page per transaction, each through ``complete``."""
    left, column = limit or None, query.selected_columns[key]
    last: object = None
    while left is None or left > 0:
        size = PAGE_ROWS if left is None else min(left, PAGE_ROWS)
        paged = query if last is None else query.where(column < last)
        with database.reading() as connection:
            page = connection.execute(paged.order_by(column.desc()).limit(size)).all()
            items = complete(connection, page) if page else ()
        yield from items
        if len(page) < size:
            return
        last = getattr(page[-1], key)
        left = None if left is None else left - size
