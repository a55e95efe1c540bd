"""Every invoice's state as of a position of the log, a page at a time.

The position fixes what is told: an invoice whose newest event is at or below it is told as its row stands, any other as
its last event at or below it says. So no transaction is kept open, however slow the reader, and pages read at different
times belong together. An invoice whose first event comes later was queued then. Where retention has removed the event
that is needed, the next one tells the state before it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from sqlalchemy import Connection, Executable, func, select

from domain.event import FIELDS, invoice_fields
from domain.exact_json import read_json
from domain.sequence import EPOCH_STEP
from domain.status import UNMADE, Status
from workers.store.bulk import execute_keyed, keyed
from workers.store.reads.log import PositionGone, read_bounds
from workers.store.rows import BINARY, StoredRow
from workers.store.tables import EVENT, INVOICE, POSITION

PAGE = 500

#: Fields that an order does not have: they come with the provider's answer, or later.
_MADE = (
    *("anomaly", "pay_amount", "payment_uri", "address", "payment_url", "qr_code", "provider_ref", "paid_amount"),
    *("expires_at", "reason"),
)


class Moment(NamedTuple):
    """What a snapshot is of. ``last``: the newest invoice that may belong to it. ``until``: an invoice without an event
    by then belongs to it if it was taken in by this time."""

    position: int
    last: str
    until: datetime


class States(NamedTuple):
    """A page of invoices' fields, and the id to ask for the next page with; None: this is the last page."""

    invoices: Sequence[Mapping[str, object]]
    next: str | None


def read_moment(connection: Connection, position: int | None) -> Moment:
    """The moment of a position; None: the newest. Raises PositionGone where the log can't be followed from there."""
    bounds = read_bounds(connection)
    as_of = bounds.newest if position is None else position
    if not bounds.oldest <= as_of <= bounds.newest:
        raise PositionGone(as_of, bounds)
    last: str | None = connection.scalar(select(func.max(INVOICE.c.id)))
    until: datetime | None = None
    if as_of == bounds.newest:
        until = connection.scalar(select(INVOICE.c.created_at).where(INVOICE.c.id == last))
    else:
        placed = EVENT.join(POSITION, POSITION.c.event_number == EVENT.c.number)
        until = connection.scalar(select(EVENT.c.created_at).select_from(placed).where(POSITION.c.position == as_of))
    return Moment(as_of, last or "", until or datetime.min.replace(tzinfo=UTC))


def read_states(connection: Connection, moment: Moment, after: str, accounts: Collection[str] | None) -> States:
    """The invoices with ids after ``after``, by id; if ``accounts`` are given, only theirs."""
    rows = connection.execute(_rows(moment, after, accounts)).all()
    behind = [row for row in rows if row.sequence and row.told != row.sequence]
    events = _events(connection, [row.id for row in behind])
    found = [_state(row, moment, events.get(row.id, ())) for row in rows]
    return States([one for one in found if one is not None], rows[-1].id if len(rows) == PAGE else None)


def _rows(moment: Moment, after: str, accounts: Collection[str] | None) -> Executable:
    """Invoices, each with the sequence it had reached by then."""
    placed = EVENT.join(POSITION, POSITION.c.event_number == EVENT.c.number)
    by_then = EVENT.c.invoice_id == INVOICE.c.id, POSITION.c.position <= moment.position
    told = select(func.max(EVENT.c.sequence)).select_from(placed).where(*by_then).correlate(INVOICE).scalar_subquery()
    query = select(INVOICE, told.label("told")).where(INVOICE.c.id > after, INVOICE.c.id <= moment.last)
    if accounts is not None:
        query = query.where(INVOICE.c.account.in_(sorted(accounts)))
    return query.order_by(INVOICE.c.id).limit(PAGE)


def _events(connection: Connection, ids: Sequence[str]) -> dict[str, list[StoredRow]]:
    """Events of these invoices in their order, with their positions."""
    of: dict[str, list[StoredRow]] = {}
    rows = execute_keyed(connection, _of_invoices, ("invoice_id",), [(one,) for one in ids]).all() if ids else ()
    for row in rows:
        of.setdefault(row.invoice_id, []).append(row)
    return of


def _of_invoices(dialect: str) -> Executable:
    placed = EVENT.outerjoin(POSITION, POSITION.c.event_number == EVENT.c.number)
    query = select(EVENT.c.invoice_id, EVENT.c.sequence, EVENT.c.body, POSITION.c.position).select_from(placed)
    query = query.where(keyed(dialect, EVENT.c.invoice_id)).order_by(EVENT.c.invoice_id, EVENT.c.sequence)
    return query.execution_options(**{BINARY: True})


def _state(row: StoredRow, moment: Moment, events: Sequence[StoredRow]) -> Mapping[str, object] | None:
    """An invoice's fields as they were; None: it did not exist. ``events``: given where its row may be newer."""
    by_then = [event for event in events if event.position is not None and event.position <= moment.position]
    later = events[len(by_then) :]
    if not later:
        return invoice_fields(row) if row.sequence or row.created_at <= moment.until else None
    if by_then and _follows(later[0].sequence, by_then[-1].sequence):
        return _told(row, by_then[-1])
    before = read_json(bytes(later[0].body))["data"]["previous_status"]
    if before not in UNMADE:  # the event that told this was removed
        return {**_told(row, later[0]), "status": before, "sequence": later[0].sequence - 1, "reason": None}
    return _queued(row) if row.created_at <= moment.until else None


def _follows(sequence: int, before: int) -> bool:
    """Whether no event is missing between the two; the first of an epoch follows any."""
    return sequence == before + 1 or sequence % EPOCH_STEP == 1


def _told(row: StoredRow, event: StoredRow) -> Mapping[str, object]:
    """The invoice as its event has it; fields that an event of an earlier release lacks are as they are now."""
    data = read_json(bytes(event.body))["data"]
    return {**invoice_fields(row), **{field.name: data[field.name] for field in FIELDS if field.name in data}}


def _queued(row: StoredRow) -> Mapping[str, object]:
    fields = invoice_fields(row)
    then = {"status": Status.QUEUED.value, "sequence": 0, "updated_at": fields["created_at"]}
    return {**fields, **dict.fromkeys(_MADE), **then}
