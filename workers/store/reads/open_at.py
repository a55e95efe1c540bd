"""The invoices that were open at an instant, in the order of their making.

Now: by status. At an earlier instant: of the invoices that had been made by then, those that are open and have not
changed since, and those whose first event since then tells that they were open before it. So the events since then must
still be there: what retention has removed can't be told.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from decimal import Decimal

from sqlalchemy import ColumnElement, Connection, Executable, func, or_, select, union_all

from domain.aging import OpenInvoice
from domain.exact_json import read_json
from domain.status import OPEN
from workers.store.bulk import execute_keyed, keyed
from workers.store.database import Database
from workers.store.queries import earliest_id
from workers.store.rows import BINARY, Query, StoredRow
from workers.store.seek import later
from workers.store.tables import EVENT, INVOICE, LOG, POSITION

PAGE = 500
#: How many rows are looked at in one statement.
LOOKED_AT = 5_000
#: Events may be numbered in another order than their times, by as long as a transaction takes.
SKEW = timedelta(minutes=1)
_OPEN = sorted(status.value for status in OPEN)


class TooLongAgo(Exception):  # noqa: N818 - reads as what happened
    """Events since that instant were removed. ``since``: the earliest instant that can be told; None: only now."""

    def __init__(self, since: datetime | None) -> None:
        super().__init__("events since then were removed")
        self.since = since


def open_now(database: Database, at: datetime) -> Iterator[OpenInvoice]:
    """Those that are open, each once, though its status may change while they are read. ``at``: this moment."""
    after = ""
    while page := database.read(_page, after):
        yield from (_told(row, at, row.status, row.paid_amount) for row in page if row.created_at <= at)
        after = page[-1].id


def open_at(database: Database, at: datetime) -> Iterator[OpenInvoice]:
    """Those that were open then. Raises TooLongAgo, before the first."""
    database.read(_require_events, at)
    return _that_were_open(database, at)


def _page(connection: Connection, after: str) -> Sequence[StoredRow]:
    """One statement for all statuses: an invoice that goes from one to another meanwhile is told neither twice nor
    never."""
    of_each = (select(_in_status(status, after).subquery()) for status in _OPEN)
    page = union_all(*of_each).order_by("id").limit(PAGE).subquery("page")
    return connection.execute(select(INVOICE).join(page, page.c.id == INVOICE.c.id).order_by(INVOICE.c.id)).all()


def _in_status(status: str, after: str) -> Query:
    found = select(INVOICE.c.id).where(INVOICE.c.status == status, INVOICE.c.id > after)
    return found.order_by(INVOICE.c.id).limit(PAGE)


def _that_were_open(database: Database, at: datetime) -> Iterator[OpenInvoice]:
    after, end = "", earliest_id(later(at))
    while (last := database.read(_last_of_portion, after, end)) is not None:
        yield from database.read(_portion, after, last, at)
        after = last


def _last_of_portion(connection: Connection, after: str, end: str) -> str | None:
    within = select(INVOICE.c.id).where(INVOICE.c.id > after, INVOICE.c.id < end).order_by(INVOICE.c.id)
    last: str | None = connection.scalar(select(func.max(within.limit(LOOKED_AT).subquery().c.id)))
    return last


def _portion(connection: Connection, after: str, last: str, at: datetime) -> list[OpenInvoice]:
    within: tuple[ColumnElement[bool], ...] = (INVOICE.c.id > after, INVOICE.c.id <= last, INVOICE.c.created_at <= at)
    may_be = or_(INVOICE.c.status.in_(_OPEN), INVOICE.c.updated_at > at)
    rows = connection.execute(select(INVOICE).where(*within, may_be).order_by(INVOICE.c.id)).all()
    found: list[OpenInvoice] = []
    for first in range(0, len(rows), PAGE):
        part = rows[first : first + PAGE]
        events = _events(connection, [row.id for row in part if row.sequence])
        told = (_as_of(row, at, events.get(row.id, ())) for row in part)
        found += [one for one in told if one is not None]
    return found


def _events(connection: Connection, ids: Sequence[str]) -> dict[str, list[StoredRow]]:
    of: dict[str, list[StoredRow]] = {}
    for row in execute_keyed(connection, _of_invoices, ("invoice_id",), [(one,) for one in ids]).all() if ids else ():
        of.setdefault(row.invoice_id, []).append(row)
    return of


def _of_invoices(dialect: str) -> Executable:
    query = select(EVENT.c.invoice_id, EVENT.c.sequence, EVENT.c.created_at, EVENT.c.body)
    query = query.where(keyed(dialect, EVENT.c.invoice_id)).order_by(EVENT.c.invoice_id, EVENT.c.sequence)
    return query.execution_options(**{BINARY: True})


def _as_of(row: StoredRow, at: datetime, events: Sequence[StoredRow]) -> OpenInvoice | None:
    """The invoice as it was; None: it was closed. ``events``: its own, in their order."""
    since = next((event for event in events if event.created_at > at), None)
    if since is None:
        return _told(row, at, row.status, row.paid_amount) if row.status in OPEN else None
    status = read_json(bytes(since.body))["data"]["previous_status"]
    if status not in OPEN:
        return None
    before = [event for event in events if event.created_at <= at]
    paid = read_json(bytes(before[-1].body))["data"].get("paid_amount") if before else None
    return _told(row, at, status, None if paid is None else Decimal(paid))


def _told(row: StoredRow, at: datetime, status: str, paid: Decimal | None) -> OpenInvoice:
    return OpenInvoice(
        at=at,
        account=row.account,
        provider_account=row.provider_account,
        order_id=row.order_id,
        invoice=row.id,
        status=status,
        currency=row.currency,
        price=row.price,
        asset=row.pay_currency,
        network=row.network,
        asked_amount=row.pay_amount,
        paid_amount=paid,
        address=row.address,
        provider_ref=row.provider_ref,
        created=row.created_at,
        expires=row.expires_at,
    )


def _require_events(connection: Connection, at: datetime) -> None:
    removed: int = connection.execute(select(LOG.c.removed)).scalar_one()
    if not removed:
        return
    placed = EVENT.join(POSITION, POSITION.c.event_number == EVENT.c.number)
    kept = select(EVENT.c.created_at).select_from(placed).where(POSITION.c.position > removed)
    first: datetime | None = connection.scalar(kept.order_by(POSITION.c.position).limit(1))
    if first is None or at < first + SKEW:
        raise TooLongAgo(None if first is None else first + SKEW)
