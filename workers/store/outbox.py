"""Events: written in the transaction of their change, read by the stream's publisher and for deliveries."""

from __future__ import annotations

import functools
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple, Unpack

from sqlalchemy import (
    Connection,
    Executable,
    Label,
    ScalarSelect,
    bindparam,
    exists,
    literal_column,
    select,
    text,
    union_all,
    update,
)
from sqlalchemy.exc import OperationalError

from domain.decision import Stage
from domain.event import FOR_ALL, wants
from domain.exact_json import read_json
from workers.store.agenda import Claim, Room
from workers.store.bulk import (
    How,
    execute_keyed,
    execute_numbered,
    insert_rows,
    keyed,
    locking,
    number_rows,
    numbered,
    numbers_of,
)
from workers.store.database import Database, is_locked_out
from workers.store.pairs import Pair, pair_of, subject_of
from workers.store.quick import execute
from workers.store.rows import BINARY, Query, StoredRow
from workers.store.tables import AGENDA, DELIVERY, ENDPOINT, EVENT, POSITION
from workers.store.tables.interest import interest

#: What is read back of a delivery's row.
_SENT = ("id", "endpoint_id", "invoice_id", "event_number", "sequence")

#: The sequence of an event of no invoice; an invoice's begin at 1. Such an event's ``invoice_id`` is its own id.
NO_SEQUENCE = 0

#: A worker of the release before publishes events without giving them a position.
_ANY_UNTOLD = select(exists().where(EVENT.c.published_at.is_(None)) | exists().where(EVENT.c.positioned.is_(None)))


class NewEvent(NamedTuple):
    """An event to be written: ``body`` holds the very bytes that are signed and sent."""

    id: str
    invoice_id: str
    sequence: int
    type: str
    body: bytes
    account: str | None = None  #: whose it is; None: everybody's

    @classmethod
    def of_no_invoice(cls, event_id: str, event_type: str, body: bytes, account: str | None = None) -> NewEvent:
        """One of no invoice: it waits for no other event, and none waits for it."""
        return cls(event_id, event_id, NO_SEQUENCE, event_type, body, account)

    def row(self, now: datetime) -> dict[str, Any]:
        """As it is kept."""
        kept = {"id": self.id, "invoice_id": self.invoice_id, "sequence": self.sequence}
        return kept | {"type": self.type, "body": self.body, "created_at": now}


class Interested(NamedTuple):
    """An endpoint that wants events of a type; ``accounts`` None: of every account."""

    endpoint: str
    accounts: frozenset[str] | None = None

    def gets(self, event: NewEvent) -> bool:
        """Whether the event is one of its accounts', or everybody's."""
        return self.accounts is None or event.account is None or event.account in self.accounts


class PairsHeld(Exception):  # noqa: N818 - reads as what happened
    """Somebody else has agenda rows locked that an event's deliveries need: pairs of these invoices."""

    def __init__(self, invoices: frozenset[str]) -> None:
        super().__init__(f"{len(invoices)} invoices' pairs are held")
        self.invoices = invoices


class Unpublished(NamedTuple):
    """An event that the stream has not been told yet. It needs its position first."""

    number: int
    id: str
    body: bytes
    position: int | None = None


class ClaimedDelivery(NamedTuple):
    """One event to be sent, perhaps again. ``delivery_id`` None: the pair has nothing left to send.

    SQLite reuses ids of removed rows: the claim's endpoint and invoice, and the event's ``sequence``, tell whether a
    row with this id is still this delivery.
    """

    claim: Claim
    delivery_id: int | None
    event_id: str = ""
    body: bytes = b""
    tries: int = 0
    sequence: int = NO_SEQUENCE
    changed_at: datetime | None = None  #: when what it tells happened; None unless this is its first try


def add_events(
    connection: Connection,
    events: Sequence[NewEvent],
    now: datetime,
    room: Room | None = None,
    *,
    careful: bool = False,
) -> tuple[set[str], list[ClaimedDelivery]]:
    """Write events, a delivery for each endpoint that wants them, and each pair's agenda row.

    Returns the endpoints that have work now, and the deliveries that ``room`` had space for: those are leased to this
    process. The invoices are locked, so an invoice's event numbers grow with its sequence. Endpoints are not: adding or
    removing one waits for transactions that may have read the endpoints before (``workers/store/writers.py``). With
    ``careful``, raises PairsHeld for pairs that somebody else has locked, instead of waiting for them.
    """
    if not events:
        return set(), []
    numbers = dict(zip(_insert_events(connection, events, now), events, strict=True))
    deliveries = _wanted(interested_in(connection, {event.type for event in events}), numbers, now)
    if not deliveries:
        return set(), []
    pairs = {(row["endpoint_id"], row["invoice_id"]) for row in deliveries}
    if careful and (held := held_pairs(connection, pairs)):
        raise PairsHeld(frozenset(invoice for _, invoice in held))
    written = insert_rows(connection, DELIVERY, deliveries, returning=_SENT if room else ())
    taken = poke_pairs(connection, pairs, now, room)
    waiting = {endpoint for endpoint, _ in pairs - taken.keys()}
    return waiting, _claimed(taken, numbers, written, now)


def _wanted(
    interested: Mapping[str, Sequence[Interested]], events: Mapping[int, NewEvent], now: datetime
) -> list[dict[str, Any]]:
    """A row for each delivery."""
    new = {"state": "due", "tries": 0, "next_try_at": now, "created_at": now}
    return [
        {"endpoint_id": one.endpoint, "event_number": number, "invoice_id": event.invoice_id}
        | {"sequence": event.sequence}
        | new
        for number, event in events.items()
        for one in interested[event.type]
        if one.gets(event)
    ]


def _claimed(
    taken: Mapping[Pair, Claim], events: Mapping[int, NewEvent], written: Sequence[StoredRow], now: datetime
) -> list[ClaimedDelivery]:
    """The first event of each pair that was leased. Earlier ones are finished: otherwise the pair would have a row."""
    deliveries: dict[Pair, ClaimedDelivery] = {}
    for row in sorted(written, key=lambda row: row.event_number):
        event, pair = events[row.event_number], (row.endpoint_id, row.invoice_id)
        if pair in taken:
            new = ClaimedDelivery(taken[pair], row.id, event.id, event.body, 0, row.sequence, now)
            deliveries.setdefault(pair, new)
    return list(deliveries.values())


def _insert_events(connection: Connection, events: Sequence[NewEvent], now: datetime) -> list[int]:
    """The numbers that they were given, in their order."""
    rows = [event.row(now) for event in events]
    numbers = dict(map(tuple, insert_rows(connection, EVENT, rows, returning=("id", "number"))))
    return [numbers[event.id] for event in events]


def interested_in(connection: Connection, types: set[str]) -> Mapping[str, Sequence[Interested]]:
    """For each type the endpoints that want it, by id, as they are now. The cost grows with those only."""
    found: dict[str, list[Interested]] = {one: [] for one in types}
    for event_type, endpoint, filter_text, accounts in execute(connection, _interested(tuple(sorted(types))), {}).all():
        if wants(_chosen(filter_text), event_type):
            found[event_type].append(Interested(endpoint, accounts_of(accounts)))
    return found


@functools.lru_cache(512)
def _interested(types: tuple[str, ...]) -> Executable:
    """Each type's condition is written out as its partial index has it; without such an index it works too."""
    looks = []
    for one in types:
        name: Label[str] = literal_column("'" + one.replace("'", "''") + "'").label("type")
        look = select(name, ENDPOINT.c.id, ENDPOINT.c.events, ENDPOINT.c.accounts)
        looks.append(look if one in FOR_ALL else look.where(text(f"({interest(one)})")))
    return looks[0].order_by("id") if len(looks) == 1 else union_all(*looks).order_by("id")


def _chosen(filter_text: str | None) -> list[str] | None:
    """An endpoint's types as they are kept: comma-separated."""
    return None if filter_text is None else filter_text.split(",")


@functools.lru_cache(512)
def accounts_of(text: str | None) -> frozenset[str] | None:
    """The accounts that an endpoint is limited to, read from its column; None: it is not limited."""
    return None if text is None else frozenset(read_json(text))


def held_pairs(connection: Connection, pairs: Collection[Pair]) -> set[Pair]:
    """Those of these pairs whose agenda rows somebody else has locked; this transaction locks the others'."""
    keys = [(Stage.DELIVER.value, subject_of(pair)) for pair in sorted(pairs)]
    names = ("stage", "subject")
    there = set(execute_keyed(connection, _pairs, names, keys).scalars())
    there -= set(execute_keyed(connection, locking(_locked_pairs, "skip"), names, keys).scalars()) if there else set()
    return set(map(pair_of, there))


@functools.cache
def _pairs(dialect: str) -> Query:
    return select(AGENDA.c.subject).where(keyed(dialect, AGENDA.c.stage, AGENDA.c.subject))


@functools.cache
def _locked_pairs(dialect: str, **how: Unpack[How]) -> Executable:
    return _pairs(dialect).order_by(AGENDA.c.subject).with_for_update(**how)


def poke_pairs(connection: Connection, pairs: set[Pair], now: datetime, room: Room | None = None) -> dict[Pair, Claim]:
    """Make sure of an agenda row for each (endpoint, invoice). One that exists keeps its ``due_at``: it is leased, or
    waits to try the pair's older event again. Whoever completes it looks for what is next, and finds this event.

    As many new rows as there is ``room`` for are leased, and returned.
    """
    same = {"stage": Stage.DELIVER.value, "due_at": now, "claims": 0, "pokes": 0}
    rows = [{"subject": subject_of(pair), "lane": pair[0], **same} for pair in sorted(pairs)]
    if room is None:
        insert_rows(connection, AGENDA, rows, conflict="poke")
        return {}
    _lease(rows, now, room)
    written = insert_rows(connection, AGENDA, rows, conflict="poke", returning=("subject", "lane", "lease_token"))
    over_at = room.begun_at + room.lease_seconds
    return {
        pair_of(row.subject): Claim(Stage.DELIVER, row.lane, row.subject, room.token, False, now, over_at)
        for row in written
        if row.lease_token == room.token
    }


def _lease(rows: Sequence[dict[str, Any]], now: datetime, room: Room) -> None:
    """Lease rows that are about to be added, as far as their lanes have room. An existing row will stay as it is."""
    left = dict(room.limits)
    lease = {"lease_token": room.token, "due_at": now + timedelta(seconds=room.lease_seconds), "claims": 1}
    for row in rows:
        places = left.get(row["lane"], 0)
        left[row["lane"]] = places - 1
        row.update(lease if places > 0 else {"lease_token": None})


def unpublished(connection: Connection, limit: int, without: Sequence[int] = ()) -> list[Unpublished]:
    """The oldest events the stream has not been told, by number, which keeps each invoice's order.

    ``without``: those it is being told right now. A number is no cursor: a lower one may be committed later.
    """
    dialect = connection.dialect.name
    rows = execute(connection, _unpublished(dialect), {"limit": limit, "without": numbers_of(dialect, without)})
    return [Unpublished._make(row) for row in rows.all()]


def position_of_event() -> ScalarSelect[int]:
    """The position, as a column of a query of events. A join might read the whole table of positions."""
    return select(POSITION.c.position).where(POSITION.c.event_number == EVENT.c.number).scalar_subquery()


@functools.cache
def _unpublished(dialect: str) -> Executable:
    # A subquery, even of an array: PostgreSQL hashes it, but would go through the whole array for each row.
    others = EVENT.c.number.not_in(number_rows(dialect, "without"))
    columns = (EVENT.c.number, EVENT.c.id, EVENT.c.body, position_of_event())
    query = select(*columns).where(EVENT.c.published_at.is_(None), others)
    return query.order_by(EVENT.c.number).limit(bindparam("limit")).execution_options(**{BINARY: True})


def any_untold(connection: Connection) -> bool:
    """Whether the publisher has an event to tell, or to give a position."""
    return bool(execute(connection, _ANY_UNTOLD, {}).one()[0])


def mark_published(connection: Connection, numbers: Sequence[int], now: datetime) -> None:
    """The stream has these, and they have their positions."""
    execute_numbered(connection, _mark, numbers, now=now)


def unlocked_events(connection: Connection, numbers: Sequence[int]) -> list[int]:
    """Those of these events that nobody else has locked; this transaction locks them."""
    return list(execute_numbered(connection, _unlocked, numbers).scalars())


@functools.cache
def _unlocked(dialect: str) -> Executable:
    found = select(EVENT.c.number).where(numbered(dialect, EVENT.c.number)).order_by(EVENT.c.number)
    return found.with_for_update(skip_locked=True)


@functools.cache
def _mark(dialect: str) -> Executable:
    new = bindparam("now", type_=EVENT.c.published_at.type)
    return update(EVENT).where(numbered(dialect, EVENT.c.number)).values(published_at=new, positioned=1)


def mark_published_where_free(database: Database, numbers: Sequence[int]) -> None:
    """In a transaction of its own. Events that somebody else keeps locked stay unmarked, and are told again."""
    try:
        with database.transaction() as connection:
            mark_published(connection, numbers, database.now(connection))
    except OperationalError as error:
        if not is_locked_out(error):
            raise
        with database.transaction() as connection:
            mark_published(connection, unlocked_events(connection, numbers), database.now(connection))
