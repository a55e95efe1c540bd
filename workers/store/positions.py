"""Positions: each event's place in one order, without gaps, so that a reader only has to remember the last one it saw.

An event's number is no such place: it is drawn before the commit, and a lower one may be committed later. Positions are
given after the commit, by the holder of the publisher's row, under the lock of the log's one row: a reader who sees one
sees every lower one. They stand in a narrow table, because writing an event's long row once more would cost more.
An index finds the events that may be without one. An event leaves it once it is marked (``event.positioned``), which is
free where it is marked as published. Events that workers of the release before published, which give no positions, are
found there too.

Within an invoice positions follow the sequence: whoever sees an event without a position sees those before it.
"""

from __future__ import annotations

import functools
from collections.abc import Collection, Sequence

import structlog
from sqlalchemy import (
    ColumnElement,
    Connection,
    Executable,
    Integer,
    bindparam,
    case,
    delete,
    exists,
    func,
    select,
    update,
)

from domain.event import FOR_ALL, ORDER_REJECTED
from domain.exact_json import read_json
from domain.sequence import first_position
from workers.store.agenda import Claim
from workers.store.bulk import execute_numbered, insert_rows, number_rows, numbered, numbers_of
from workers.store.fence import lock_holder
from workers.store.outbox import NO_SEQUENCE, position_of_event, unlocked_events
from workers.store.quick import execute
from workers.store.rows import BINARY, Query, StoredRow
from workers.store.tables import EVENT, LOG, POSITION
from workers.store.tables.columns import RowNumber

log = structlog.get_logger()

#: An invoice's event names its account within its first bytes: an account's name has 64 characters at most.
HEAD_BYTES = 256
_BEFORE_ACCOUNT = b'"source":"/invoices/'
ACCOUNT_LENGTH = 128  #: of the position's column
MARKED = 2000  #: events at a time
#: Stands for an account that could not be read. No token is limited to it.
NOBODYS = ""

_LOCK = select(LOG.c.newest, LOG.c.removed).with_for_update()


class LeaseLost(Exception):  # noqa: N818 - reads as what happened
    """Somebody else holds the publisher's row by now."""

    def __init__(self) -> None:
        super().__init__("somebody else holds the publisher's row")


def place_events(
    connection: Connection, claim: Claim, limit: int, without: Sequence[int] = (), *, mark: bool = False
) -> list[int]:
    """Give positions to the oldest ``limit`` events that have none, in the order of their numbers. Returns the numbers.

    ``without``: events that have theirs and are being told right now. ``mark``: mark them at once, since they will not
    be told soon. Raises LeaseLost.
    """
    if lock_holder(connection) != claim.token:
        raise LeaseLost
    newest = connection.execute(_LOCK).one().newest
    dialect = connection.dialect.name
    given = {"limit": limit, "without": numbers_of(dialect, without)}
    rows = execute(connection, _unplaced(dialect), given).all()
    numbers = [row.number for row in rows]
    if not numbers:
        return []
    places = [
        {"position": newest + place, "event_number": row.number, "account": _account_of(row)}
        for place, row in enumerate(rows, 1)
    ]
    insert_rows(connection, POSITION, places)
    connection.execute(update(LOG).values(newest=newest + len(rows)))
    if mark:
        mark_placed(connection, numbers)
    return numbers


def mark_placed(connection: Connection, numbers: Sequence[int]) -> None:
    """Take these out of the search for events without a position. Not needed for those that are told at once: they are
    marked then. What somebody else has locked stays as it is."""
    execute_numbered(connection, _mark, unlocked_events(connection, numbers))


@functools.cache
def _unplaced(dialect: str) -> Query:
    """Few of the rows that the index finds have a position already."""
    place = position_of_event()
    head: ColumnElement[bytes] = case(
        (EVENT.c.sequence == NO_SEQUENCE, EVENT.c.body), else_=func.substr(EVENT.c.body, 1, HEAD_BYTES)
    )
    query = select(EVENT.c.number, EVENT.c.sequence, EVENT.c.type, head.label("head")).where(
        EVENT.c.positioned.is_(None), EVENT.c.number.not_in(number_rows(dialect, "without")), place.is_(None)
    )
    return query.order_by(EVENT.c.number).limit(bindparam("limit")).execution_options(**{BINARY: True})


@functools.cache
def _mark(dialect: str) -> Executable:
    return update(EVENT).where(numbered(dialect, EVENT.c.number)).values(positioned=1)


def mark_told(connection: Connection) -> None:
    """The same for those that have a position and were published without being marked: by a worker of the release
    before, after a holder that died."""
    dialect = connection.dialect.name
    mark_placed(connection, list(connection.execute(_told(dialect)).scalars()))


@functools.cache
def _told(dialect: str) -> Executable:
    place = position_of_event()
    query = select(EVENT.c.number).where(
        EVENT.c.positioned.is_(None), EVENT.c.published_at.is_not(None), place.is_not(None)
    )
    return query.order_by(EVENT.c.number).limit(MARKED)


def unmark(connection: Connection, numbers: Sequence[int]) -> None:
    """Unmark those of these that have no position after all: it was removed by hand, or lost in a partial restore.
    Otherwise the stream would wait for them for ever."""
    execute_numbered(connection, _unmark, numbers)


@functools.cache
def _unmark(dialect: str) -> Executable:
    placed = exists().where(POSITION.c.event_number == EVENT.c.number)
    return update(EVENT).where(numbered(dialect, EVENT.c.number), ~placed).values(positioned=None)


def _account_of(row: StoredRow) -> str | None:
    """Whose event it is, read from its bytes; None for everybody's. One that can't be read holds up no other."""
    if row.type in FOR_ALL:
        return None
    try:
        name = _account_in(row)
    except (ValueError, LookupError, TypeError) as error:
        log.error("stream.account_unreadable", number=row.number, error=type(error).__name__)
        return NOBODYS
    return name if isinstance(name, str) and len(name) <= ACCOUNT_LENGTH and "\0" not in name else NOBODYS


def _account_in(row: StoredRow) -> object:
    if row.type == ORDER_REJECTED:
        return read_json(row.head)["data"]["account"]
    _, found, rest = bytes(row.head).partition(_BEFORE_ACCOUNT)
    name, ended, _ = rest.partition(b'"')
    return name.decode() if found and ended else NOBODYS


def remove_positions(connection: Connection, numbers: Collection[int]) -> None:
    """Remove the positions of events that are being removed: from now on, a reader who asks for one is told so."""
    found = list(execute_numbered(connection, _remove, numbers).scalars())
    _raise_removed(connection, found)


@functools.cache
def _remove(dialect: str) -> Executable:
    return delete(POSITION).where(numbered(dialect, POSITION.c.event_number)).returning(POSITION.c.position)


def remove_dangling(connection: Connection, first: int, last: int, limit: int) -> int:
    """Remove positions whose events are gone, left by workers of the release before: of events with these numbers."""
    numbers = connection.execute(_dangling(), {"first": first, "last": last, "most": limit}).scalars().all()
    if numbers:
        remove_positions(connection, numbers)
    return len(numbers)


@functools.cache
def _dangling() -> Executable:
    first, last = bindparam("first", type_=RowNumber), bindparam("last", type_=RowNumber)
    # The bounds stand twice: PostgreSQL does not conclude that they hold for events as well.
    event = exists().where(EVENT.c.number == POSITION.c.event_number, EVENT.c.number.between(first, last))
    gone = select(POSITION.c.event_number).where(POSITION.c.event_number.between(first, last), ~event)
    return gone.order_by(POSITION.c.event_number).limit(bindparam("most", type_=Integer))


def _raise_removed(connection: Connection, positions: Sequence[int]) -> None:
    if not positions:
        return
    highest = max(positions)
    connection.execute(update(LOG).where(LOG.c.removed < highest).values(removed=highest))


def begin_epoch(connection: Connection, epoch: int) -> None:
    """After a restore: positions go on above all that were given before it."""
    connection.execute(_LOCK)
    first = first_position(epoch)
    connection.execute(update(LOG).where(LOG.c.newest < first).values(newest=first))
