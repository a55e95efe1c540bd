"""Events sent once more, with their old ids: one by its id, or an endpoint's by type and time."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import ColumnElement, Connection, FromClause, bindparam, select, true, union_all, update

from domain.event import FOR_ALL, INVOICE_EVENTS
from workers.store.bulk import insert_into
from workers.store.database import Database
from workers.store.deliveries import DEAD, DUE, lock_pairs, point_at_next
from workers.store.endpoints import EVENT_TYPES
from workers.store.outbox import accounts_of, poke_pairs
from workers.store.pairs import subject_of
from workers.store.rows import Query
from workers.store.seek import earlier, first_number, later
from workers.store.tables import DELIVERY, ENDPOINT, EVENT, INVOICE
from workers.store.tables.columns import UtcTime

#: Events per transaction: others wait no longer than that takes.
BATCH = 200


@dataclass(frozen=True, slots=True)
class Chosen:
    """An event to be sent once more."""

    number: int
    invoice_id: str
    sequence: int


@dataclass(frozen=True, slots=True)
class Choice:
    """An endpoint's events with ``since`` ≤ time < ``until``, of these types; without types, of all that it takes.

    ``dead_only``: dead letters; ``missed_only``: all that the endpoint does not have. ``newest_only``: of each invoice
    only the newest; older ones that still wait are set aside as dead letters.
    """

    endpoint_id: str
    types: Sequence[str] = ()
    since: datetime | None = None
    until: datetime | None = None
    dead_only: bool = False
    missed_only: bool = False
    newest_only: bool = False

    def check(self) -> None:
        """Raise ValueError for an unknown type or an empty span."""
        unknown = sorted(set(self.types) - EVENT_TYPES)
        if unknown:
            raise ValueError(f"type: there is no {', '.join(unknown)}; there are {', '.join(sorted(EVENT_TYPES))}")
        if self.since is not None and self.until is not None and self.until <= self.since:
            raise ValueError("until must be later than since")


class Sampled(NamedTuple):
    """An event as people are shown it; ``order_id`` None: it tells of no invoice."""

    type: str
    order_id: str | None
    sequence: int


def choose(
    connection: Connection, choice: Choice, *, numbers: tuple[int, int] | None = None, limit: int
) -> list[Chosen]:
    """Events for an endpoint, in their order, with a number after the first of ``numbers`` up to the second: those that
    it had, and those that it would have had, had it existed then.

    The choice's types narrow all of them, and replace the endpoint's own filter. The newest of an invoice is the last
    up to the second of ``numbers``.
    """
    endpoint_id, types = choice.endpoint_id, choice.types
    had_only = choice.dead_only or choice.missed_only
    query = _eligible(connection, endpoint_id, types, had_only=had_only)
    if had_only:
        query = query.where(DELIVERY.c.state == DEAD if choice.dead_only else EVENT.c.number.in_(_missed(endpoint_id)))
    query = query.where(*_between(connection, choice.since, choice.until))
    query = query.where(*_numbered(numbers))
    if choice.newest_only:
        query = query.where(~_followed(connection, endpoint_id, types, numbers))
    return [Chosen(*row) for row in connection.execute(query.order_by(EVENT.c.number).limit(limit))]


def _eligible(
    connection: Connection, endpoint_id: str, types: Collection[str] = (), *, had_only: bool = False
) -> Query:
    """Events that an endpoint had and, unless ``had_only``, those that it would have had, had it existed then."""
    had = (DELIVERY.c.endpoint_id == endpoint_id) & (DELIVERY.c.event_number == EVENT.c.number)
    query = select(EVENT.c.number, EVENT.c.invoice_id, EVENT.c.sequence).join(DELIVERY, had, isouter=not had_only)
    return query.where(
        _chosen_type(connection, endpoint_id, types, EVENT, DELIVERY),
        DELIVERY.c.id.is_not(None) | _of_accounts(connection, endpoint_id),
    )


def _numbered(numbers: tuple[int, int] | None) -> list[ColumnElement[bool]]:
    """After the first of them, up to the second."""
    return [] if numbers is None else [EVENT.c.number > numbers[0], EVENT.c.number <= numbers[1]]


def _missed(endpoint_id: str) -> Query:
    """The numbers of events that an endpoint does not have; each state has its index."""
    ours = select(DELIVERY.c.event_number).where(DELIVERY.c.endpoint_id == endpoint_id)
    return select(union_all(ours.where(DELIVERY.c.state == DUE), ours.where(DELIVERY.c.state == DEAD)).subquery())


def _chosen_type(
    connection: Connection, endpoint_id: str, types: Collection[str], event: FromClause, delivery: FromClause
) -> ColumnElement[bool]:
    """The condition that an event is of these types; without types, that the endpoint had it or wants it."""
    if types:
        return event.c.type.in_(types)
    return delivery.c.id.is_not(None) | _wanted(connection, endpoint_id, event)


def _followed(
    connection: Connection, endpoint_id: str, types: Collection[str], numbers: tuple[int, int] | None
) -> ColumnElement[bool]:
    """The condition that a later event of the same invoice is chosen too, whatever its time. By a unique index."""
    later, delivery = EVENT.alias("later"), DELIVERY.alias("of_later")
    had = (delivery.c.endpoint_id == endpoint_id) & (delivery.c.event_number == later.c.number)
    found = (
        select(later.c.number)
        .select_from(later.outerjoin(delivery, had))
        .where(later.c.invoice_id == EVENT.c.invoice_id, later.c.sequence > EVENT.c.sequence)
        .where(_chosen_type(connection, endpoint_id, types, later, delivery))
    )
    return (found if numbers is None else found.where(later.c.number <= numbers[1])).correlate(EVENT).exists()


def choose_of_invoice(connection: Connection, endpoint_id: str, invoice_id: str, limit: int) -> list[Chosen]:
    """An invoice's events for an endpoint, in their order: those that it had, and those that it would have had."""
    query = _eligible(connection, endpoint_id).where(EVENT.c.invoice_id == invoice_id)
    return [Chosen(*row) for row in connection.execute(query.order_by(EVENT.c.sequence).limit(limit))]


def choose_of_invoices(
    connection: Connection, endpoint_id: str, invoice_ids: Collection[str], *, newest_only: bool
) -> list[Chosen]:
    """The same of several, in the events' order; ``newest_only``: of each the last of them."""
    query = _eligible(connection, endpoint_id).where(EVENT.c.invoice_id.in_(sorted(invoice_ids)))
    if newest_only:
        query = query.where(~_followed(connection, endpoint_id, (), None))
    return [Chosen(*row) for row in connection.execute(query.order_by(EVENT.c.number))]


def sample_of(connection: Connection, numbers: Collection[int]) -> list[Sampled]:
    """These events, in their order."""
    query = select(EVENT.c.type, INVOICE.c.order_id, EVENT.c.sequence)
    query = query.outerjoin(INVOICE, INVOICE.c.id == EVENT.c.invoice_id).where(EVENT.c.number.in_(numbers))
    return [Sampled(*row) for row in connection.execute(query.order_by(EVENT.c.number))]


def _between(connection: Connection, since: datetime | None, until: datetime | None) -> list[ColumnElement[bool]]:
    """``since`` ≤ time < ``until``, with bounds on the number, for its index."""
    number, at, conditions = EVENT.c.number, EVENT.c.created_at, []
    if since is not None:
        conditions += [number >= first_number(connection, number, at, earlier(since)), at >= since]
    if until is not None:
        conditions += [number < first_number(connection, number, at, later(until)), at < until]
    return conditions


def find_event(connection: Connection, event_id: str) -> Chosen | None:
    """An event by its id."""
    found = connection.execute(
        select(EVENT.c.number, EVENT.c.invoice_id, EVENT.c.sequence).where(EVENT.c.id == event_id)
    ).one_or_none()
    return None if found is None else Chosen(*found)


def is_for(connection: Connection, endpoint_id: str, event: Chosen) -> bool:
    """Whether an endpoint may get an event: of its accounts, or everybody's, or one that it was meant to get."""
    had = select(DELIVERY.c.id).where(DELIVERY.c.endpoint_id == endpoint_id, DELIVERY.c.event_number == event.number)
    ours = select(EVENT.c.number).where(EVENT.c.number == event.number)
    return connection.scalar(ours.where(had.exists() | _of_accounts(connection, endpoint_id))) is not None


def endpoints_of(connection: Connection, event: Chosen) -> list[str]:
    """The endpoints that an event was meant for, by id."""
    had = (DELIVERY.c.endpoint_id == ENDPOINT.c.id) & (DELIVERY.c.event_number == event.number)
    return list(connection.execute(select(ENDPOINT.c.id).join(DELIVERY, had).order_by(ENDPOINT.c.id)).scalars())


def replay(
    connection: Connection, database: Database, endpoint_id: str, events: Sequence[Chosen], *, dead_only: bool = False
) -> int:
    """Make up to BATCH events due at an endpoint, at once and with all their tries. Returns how many.

    Each (endpoint, invoice) still gets its oldest unfinished event first. What is being sent right now is left to its
    holder. Events that were removed meanwhile are left out; with ``dead_only``, those that are no longer dead. 0 where
    there is no such endpoint.
    """
    numbers = _lock(connection, database, endpoint_id, events)
    events = [event for event in events if event.number in numbers]
    if not events:
        return 0
    now = database.now(connection)
    pairs = {(endpoint_id, event.invoice_id) for event in events}
    poke_pairs(connection, pairs, now)
    rows = lock_pairs(connection, database, set(map(subject_of, pairs)))
    count = _revive(connection, endpoint_id, events, now) if dead_only else len(events)
    if not dead_only:
        _make_due(connection, endpoint_id, events, now)
    point_at_next(connection, {subject: row for subject, row in rows.items() if row.lease_token is None}, now)
    return count


def set_aside(connection: Connection, database: Database, endpoint_id: str, newest: Sequence[Chosen]) -> int:
    """Make dead letters of what still waits for an endpoint and is older than these events of the same invoices.
    Returns how many. They may be replayed later; ``replay`` of these events has to follow.

    One that is being sent right now still ends as delivered if the endpoint takes it.
    """
    if not _lock(connection, database, endpoint_id, newest):
        return 0
    lock_pairs(connection, database, {subject_of((endpoint_id, event.invoice_id)) for event in newest})
    older = (
        update(DELIVERY)
        .where(DELIVERY.c.endpoint_id == endpoint_id, DELIVERY.c.invoice_id == bindparam("of_invoice"))
        .where(DELIVERY.c.state == DUE, DELIVERY.c.sequence < bindparam("before"))
        .values(state="dead", next_try_at=None, finished_at=bindparam("now", type_=UtcTime))
    )
    now = database.now(connection)
    rows = [{"of_invoice": event.invoice_id, "before": event.sequence, "now": now} for event in newest]
    return int(connection.execute(older, rows).rowcount)


def _wanted(connection: Connection, endpoint_id: str, event: FromClause) -> ColumnElement[bool]:
    """What ``domain.event.wants`` says, as a condition."""
    text = connection.execute(select(ENDPOINT.c.events).where(ENDPOINT.c.id == endpoint_id)).scalar_one_or_none()
    if text is None:
        return event.c.type.like(f"{INVOICE_EVENTS}%") | event.c.type.in_(FOR_ALL)
    return event.c.type.in_(FOR_ALL.union(text.split(",")))


def _of_accounts(connection: Connection, endpoint_id: str) -> ColumnElement[bool]:
    """Events of the accounts that the endpoint is limited to, and everybody's."""
    limit = connection.execute(select(ENDPOINT.c.accounts).where(ENDPOINT.c.id == endpoint_id)).scalar_one_or_none()
    accounts = accounts_of(limit)
    if accounts is None:
        return true()
    ours = select(INVOICE.c.id).where(INVOICE.c.id == EVENT.c.invoice_id, INVOICE.c.account.in_(sorted(accounts)))
    return EVENT.c.type.in_(FOR_ALL) | ours.exists()


def _lock(connection: Connection, database: Database, endpoint_id: str, events: Sequence[Chosen]) -> set[int]:
    """Keep endpoint and events from being removed until the transaction ends. Returns the events that still exist."""
    endpoint = select(ENDPOINT.c.id).where(ENDPOINT.c.id == endpoint_id)
    there = (
        select(EVENT.c.number).where(EVENT.c.number.in_([event.number for event in events])).order_by(EVENT.c.number)
    )
    if database.is_postgresql:
        endpoint = endpoint.with_for_update(read=True, key_share=True)
        there = there.with_for_update(read=True, key_share=True)
    if connection.execute(endpoint).one_or_none() is None:
        return set()
    return set(connection.execute(there).scalars())


def _make_due(connection: Connection, endpoint_id: str, events: Sequence[Chosen], now: datetime) -> None:
    fresh: dict[str, object] = {"state": "due", "tries": 0, "next_try_at": now}
    rows = [
        {"endpoint_id": endpoint_id, "event_number": event.number, "invoice_id": event.invoice_id, "created_at": now}
        | {"sequence": event.sequence}
        | fresh
        for event in events
    ]
    again = insert_into(connection, DELIVERY).on_conflict_do_update(
        index_elements=[DELIVERY.c.endpoint_id, DELIVERY.c.event_number], set_=fresh | {"finished_at": None}
    )
    connection.execute(again, rows)


def _revive(connection: Connection, endpoint_id: str, events: Sequence[Chosen], now: datetime) -> int:
    """Make dead letters due; what somebody else made due or delivered meanwhile stays as it is."""
    changed = connection.execute(
        update(DELIVERY)
        .where(
            DELIVERY.c.endpoint_id == endpoint_id,
            DELIVERY.c.event_number.in_([event.number for event in events]),
            DELIVERY.c.state == DEAD,
        )
        .values(state="due", tries=0, next_try_at=bindparam("now", type_=UtcTime), finished_at=None),
        {"now": now},
    )
    return int(changed.rowcount)
