"""Webhooks for people: pages of them by what is looked for, newest event first, and one with what it carries."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, and_, case, func, literal_column, or_, select

from workers.store.deliveries import DEAD, DUE
from workers.store.queries import with_attempts
from workers.store.rows import Query, StoredRow
from workers.store.seek import earlier, first_number, later
from workers.store.tables import DELIVERY, ENDPOINT, EVENT, INVOICE

#: How many of the newest are looked at for a page. If it is not full then, the next one goes on from there.
LOOK = 5000
#: Events whose deliveries are read in one statement.
WINDOW = 500
STATES = ("due", "parked", "delivered", "dead")

_state: ColumnElement[str] = case(
    (and_(DELIVERY.c.state == DUE, ENDPOINT.c.disabled_at.is_not(None)), literal_column("'parked'")),
    else_=DELIVERY.c.state,
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is looked for. ``endpoints`` None: all; ``before``: only what stands behind this place in the list."""

    endpoints: Collection[str] | None = None
    state: str | None = None
    type: str | None = None
    event: str | None = None
    invoice: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    before: tuple[int, str] | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """Deliveries with their tries, oldest try first; and where the next page begins, None: this is the last."""

    rows: Sequence[tuple[StoredRow, Sequence[StoredRow]]]
    next: tuple[int, str] | None


def page_of_deliveries(connection: Connection, wanted: Wanted, limit: int) -> Page:
    """The first deliveries of such a list. Each kind of list is read by an index of its own."""
    if wanted.event is not None or wanted.invoice is not None:
        found, ends = _of_events(connection, wanted, limit), None
    elif wanted.state in {"due", "parked", "dead"}:
        found, ends = _of_state(connection, wanted, limit), None
    elif wanted.endpoints is not None and len(wanted.endpoints) == 1:
        found, ends = _of_endpoint(connection, wanted, limit)
    else:
        found, ends = _of_all(connection, wanted, limit)
    page = found[:limit]
    following = _place(page[-1]) if len(found) > limit else ends
    return Page(with_attempts(connection, page), following)


def find_delivery(connection: Connection, delivery_id: int) -> tuple[StoredRow, Sequence[StoredRow]] | None:
    """One with its tries, and the event's own bytes as ``body``."""
    query = _columns().add_columns(EVENT.c.body, EVENT.c.created_at.label("told_at"), INVOICE.c.account)
    rows = connection.execute(query.where(DELIVERY.c.id == delivery_id)).all()
    return next(iter(with_attempts(connection, rows)), None)


def _columns() -> Query:
    return (
        select(
            DELIVERY,
            EVENT.c.id.label("event_id"),
            EVENT.c.type,
            ENDPOINT.c.url,
            INVOICE.c.order_id,
            _state.label("shown_state"),
        )
        .join(EVENT, EVENT.c.number == DELIVERY.c.event_number)
        .join(ENDPOINT, ENDPOINT.c.id == DELIVERY.c.endpoint_id)
        .outerjoin(INVOICE, INVOICE.c.id == DELIVERY.c.invoice_id)
    )


def _sorted(query: Query, limit: int) -> Query:
    return query.order_by(DELIVERY.c.event_number.desc(), DELIVERY.c.endpoint_id.desc()).limit(limit)


def _place(row: StoredRow) -> tuple[int, str]:
    return row.event_number, row.endpoint_id


def _conditions(connection: Connection, wanted: Wanted) -> list[ColumnElement[bool]]:
    """All of it but the state."""
    conditions: list[ColumnElement[bool]] = _numbers(connection, wanted, DELIVERY.c.event_number)
    if wanted.endpoints is not None:
        conditions.append(DELIVERY.c.endpoint_id.in_(sorted(wanted.endpoints)))
    if wanted.type is not None:
        conditions.append(EVENT.c.type == wanted.type)
    if wanted.since is not None:
        conditions.append(EVENT.c.created_at >= wanted.since)
    if wanted.until is not None:
        conditions.append(EVENT.c.created_at < wanted.until)
    if wanted.before is not None:
        number, endpoint = wanted.before
        conditions.append(or_(DELIVERY.c.event_number < number, DELIVERY.c.endpoint_id < endpoint))
    return conditions


def _numbers(connection: Connection, wanted: Wanted, column: ColumnElement[int]) -> list[ColumnElement[bool]]:
    """Between which numbers of events it lies."""
    number, at, bounds = EVENT.c.number, EVENT.c.created_at, []
    if wanted.since is not None:
        bounds.append(column >= first_number(connection, number, at, earlier(wanted.since)))
    if wanted.until is not None:
        bounds.append(column < first_number(connection, number, at, later(wanted.until)))
    if wanted.before is not None:
        last, endpoint = wanted.before
        bounds.append(column <= last if endpoint else column < last)  # without one the last is looked at already
    return bounds


def _in_state(state: str | None) -> Iterator[ColumnElement[bool]]:
    """Written out, so that a planner sees which index will do."""
    if state == "dead":
        yield DELIVERY.c.state == DEAD
    elif state in {"due", "parked"}:
        yield DELIVERY.c.state == DUE
        yield ENDPOINT.c.disabled_at.is_(None) if state == "due" else ENDPOINT.c.disabled_at.is_not(None)
    elif state is not None:
        yield DELIVERY.c.state == state


def _of_events(connection: Connection, wanted: Wanted, limit: int) -> Sequence[StoredRow]:
    """Of one event, or of one invoice's."""
    chosen = select(EVENT.c.number)
    if wanted.event is not None:
        chosen = chosen.where(EVENT.c.id == wanted.event)
    if wanted.invoice is not None:
        chosen = chosen.where(EVENT.c.invoice_id == wanted.invoice)
    numbers = connection.scalars(chosen.order_by(EVENT.c.number.desc()).limit(WINDOW)).all()
    conditions = *_conditions(connection, wanted), *_in_state(wanted.state)
    return connection.execute(_sorted(_of_numbers(numbers).where(*conditions), limit + 1)).all()


def _of_state(connection: Connection, wanted: Wanted, limit: int) -> Sequence[StoredRow]:
    """What waits, and dead letters: as many as there are, by their own indexes, which begin with the endpoint."""
    query = _columns().where(DELIVERY.c.endpoint_id.in_(select(ENDPOINT.c.id)))
    conditions = *_conditions(connection, wanted), *_in_state(wanted.state)
    return connection.execute(_sorted(query.where(*conditions), limit + 1)).all()


def _of_endpoint(
    connection: Connection, wanted: Wanted, limit: int
) -> tuple[Sequence[StoredRow], tuple[int, str] | None]:
    """Among the newest of one endpoint; where the look ended, if it found fewer than a page."""
    (endpoint,) = wanted.endpoints or ()
    bounds = _numbers(connection, wanted, DELIVERY.c.event_number)
    looked = select(DELIVERY.c.event_number).where(DELIVERY.c.endpoint_id == endpoint, *bounds)
    first = looked.order_by(DELIVERY.c.event_number.desc()).limit(LOOK).subquery()
    looks, last = connection.execute(select(func.count(), func.min(first.c.event_number))).one()
    conditions = *_conditions(connection, wanted), *_in_state(wanted.state), DELIVERY.c.event_number >= (last or 0)
    rows = connection.execute(_sorted(_columns().where(*conditions), limit + 1)).all()
    return rows, (last, endpoint) if looks == LOOK else None


def _of_all(connection: Connection, wanted: Wanted, limit: int) -> tuple[Sequence[StoredRow], tuple[int, str] | None]:
    """By the newest events, a window of them at a time; where the look ended, if it found fewer than a page."""
    found: list[StoredRow] = []
    bounds = _numbers(connection, wanted, EVENT.c.number)
    events = select(EVENT.c.number).where(*bounds).order_by(EVENT.c.number.desc()).limit(WINDOW)
    conditions = *_conditions(connection, wanted), *_in_state(wanted.state)
    before: int | None = None
    for _ in range(LOOK // WINDOW):
        window = connection.scalars(events if before is None else events.where(EVENT.c.number < before)).all()
        if not window:
            return found, None
        query = _of_numbers(window).where(*conditions)
        found += connection.execute(_sorted(query, limit + 1 - len(found))).all()
        before = window[-1]
        if len(found) > limit:
            return found, None
    return found, (before or 0, "")


def _of_numbers(numbers: Sequence[int]) -> Query:
    """Deliveries of these events, by the index that begins with the endpoint."""
    of_endpoints = DELIVERY.c.endpoint_id.in_(select(ENDPOINT.c.id))
    return _columns().where(of_endpoints, DELIVERY.c.event_number.in_(numbers))
