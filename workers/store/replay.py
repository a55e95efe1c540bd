"""Events sent once more, with the ids they had: one by name, or an endpoint's by type and time."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Connection, bindparam, select, true, update

from domain.event import FOR_ALL, INVOICE_EVENTS
from workers.store.agenda import insert_into
from workers.store.database import Database
from workers.store.deliveries import DEAD, lock_pairs, point_at_next
from workers.store.outbox import accounts_of, poke_pairs
from workers.store.seek import first_number
from workers.store.tables import DELIVERY, ENDPOINT, EVENT, INVOICE
from workers.store.tables.columns import UtcTime

#: Events per transaction: workers and writers of events wait no longer than that takes.
BATCH = 200

#: Rows stand nearly in the order of their times; hosts' clocks are trusted to be this exact.
CLOCK_SLACK = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Chosen:
    """An event to be sent once more."""

    number: int
    invoice_id: str
    sequence: int


def choose(
    connection: Connection,
    endpoint_id: str,
    *,
    types: Collection[str] = (),
    since: datetime | None = None,
    until: datetime | None = None,
    dead_only: bool = False,
    numbers: tuple[int, int] | None = None,
    limit: int,
) -> list[Chosen]:
    """Events for an endpoint, in their order, ``since`` ≤ time < ``until``, after the first of ``numbers`` up to the
    second: those that it had (of these only the dead
    letters, with ``dead_only``), and those that it would have had, had it been there already.

    ``types`` narrow both, and take the place of the endpoint's own filter.
    """
    had = (DELIVERY.c.endpoint_id == endpoint_id) & (DELIVERY.c.event_number == EVENT.c.number)
    query = select(EVENT.c.number, EVENT.c.invoice_id, EVENT.c.sequence).join(DELIVERY, had, isouter=not dead_only)
    if dead_only:
        query = query.where(DELIVERY.c.state == DEAD)
    if types:
        query = query.where(EVENT.c.type.in_(types))
    else:
        query = query.where(DELIVERY.c.id.is_not(None) | _wanted(connection, endpoint_id))
    query = query.where(DELIVERY.c.id.is_not(None) | _of_accounts(connection, endpoint_id))
    query = query.where(*_between(connection, since, until))
    if numbers is not None:
        query = query.where(EVENT.c.number > numbers[0], EVENT.c.number <= numbers[1])
    return [Chosen(*row) for row in connection.execute(query.order_by(EVENT.c.number).limit(limit))]


def _between(connection: Connection, since: datetime | None, until: datetime | None) -> list[ColumnElement[bool]]:
    """``since`` ≤ time < ``until``, with bounds of the numbers that an index can use."""
    number, at, conditions = EVENT.c.number, EVENT.c.created_at, []
    if since is not None:
        conditions += [number >= first_number(connection, number, at, since - CLOCK_SLACK), at >= since]
    if until is not None:
        conditions += [number < first_number(connection, number, at, until + CLOCK_SLACK), at < until]
    return conditions


def find_event(connection: Connection, event_id: str) -> Chosen | None:
    """An event by its id."""
    found = connection.execute(
        select(EVENT.c.number, EVENT.c.invoice_id, EVENT.c.sequence).where(EVENT.c.id == event_id)
    ).one_or_none()
    return None if found is None else Chosen(*found)


def is_for(connection: Connection, endpoint_id: str, event: Chosen) -> bool:
    """Whether an event is one of the accounts that the endpoint is limited to, or everybody's, or was meant for it."""
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
    """Make up to BATCH events due at an endpoint, at once and with all their tries; how many they were.

    Each (endpoint, invoice) still has its oldest unfinished event sent first. What is being sent at this moment is
    left to its holder. An event that was removed meanwhile is left out; with ``dead_only`` one that is dead no more.
    0 where there is no such endpoint.
    """
    numbers = _lock(connection, database, endpoint_id, events)
    events = [event for event in events if event.number in numbers]
    if not events:
        return 0
    now = database.now(connection)
    subjects = {f"{endpoint_id}/{event.invoice_id}" for event in events}
    poke_pairs(connection, {(endpoint_id, event.invoice_id) for event in events}, now)
    rows = lock_pairs(connection, database, subjects)
    count = _revive(connection, endpoint_id, events, now) if dead_only else len(events)
    if not dead_only:
        _make_due(connection, database, endpoint_id, events, now)
    point_at_next(connection, [subject for subject, row in rows.items() if row.lease_token is None], now)
    return count


def _wanted(connection: Connection, endpoint_id: str) -> ColumnElement[bool]:
    """What ``domain.event.wants`` says, as a condition."""
    text = connection.execute(select(ENDPOINT.c.events).where(ENDPOINT.c.id == endpoint_id)).scalar_one_or_none()
    if text is None:
        return EVENT.c.type.like(f"{INVOICE_EVENTS}%") | EVENT.c.type.in_(FOR_ALL)
    return EVENT.c.type.in_(FOR_ALL.union(text.split(",")))


def _of_accounts(connection: Connection, endpoint_id: str) -> ColumnElement[bool]:
    """Events of the accounts that the endpoint is limited to, and everybody's."""
    limit = connection.execute(select(ENDPOINT.c.accounts).where(ENDPOINT.c.id == endpoint_id)).scalar_one_or_none()
    accounts = accounts_of(limit)
    if accounts is None:
        return true()
    ours = select(INVOICE.c.id).where(INVOICE.c.id == EVENT.c.invoice_id, INVOICE.c.account.in_(sorted(accounts)))
    return EVENT.c.type.in_(FOR_ALL) | ours.exists()


def _lock(connection: Connection, database: Database, endpoint_id: str, events: Sequence[Chosen]) -> set[int]:
    """Keep endpoint and events from being removed until the transaction ends; the events there still are."""
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


def _make_due(
    connection: Connection, database: Database, endpoint_id: str, events: Sequence[Chosen], now: datetime
) -> None:
    fresh: dict[str, object] = {"state": "due", "tries": 0, "next_try_at": now}
    rows = [
        {"endpoint_id": endpoint_id, "event_number": event.number, "invoice_id": event.invoice_id, "created_at": now}
        | {"sequence": event.sequence}
        | fresh
        for event in events
    ]
    again = insert_into(database, DELIVERY).on_conflict_do_update(
        index_elements=[DELIVERY.c.endpoint_id, DELIVERY.c.event_number], set_=fresh | {"finished_at": None}
    )
    connection.execute(again, rows)


def _revive(connection: Connection, endpoint_id: str, events: Sequence[Chosen], now: datetime) -> int:
    """Dead letters only: what somebody else made due or delivered meanwhile stays as it is."""
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
