"""The agenda: what is to be done next, and when. Claims, leases, releases, and what a lane has due."""

from __future__ import annotations

import functools
import math
import secrets
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal, NamedTuple

from sqlalchemy import (
    ColumnElement,
    Connection,
    Executable,
    bindparam,
    func,
    null,
    select,
    text,
    update,
)

from domain.decision import Stage
from domain.schedule import STANDING_WAITS
from workers.store import claim_sql
from workers.store.bulk import execute_keyed, insert_into, key_rows, keyed
from workers.store.clock import ClockInDoubt, is_trusted
from workers.store.database import Database, with_now
from workers.store.quick import execute
from workers.store.rows import StoredRow
from workers.store.tables import AGENDA, INVOICE
from workers.store.tables.columns import UtcTime

#: Claims without a completion, after which a row is parked: it seems to kill whoever takes it up. (A delivery's state
#: ``parked`` is something else: its endpoint is disabled.)
MAX_CLAIMS = 5
#: After so many it is claimed alone: its holders may have been killed by another row of their batch.
SUSPECT_CLAIMS = 3

BROUGHT_NEAR = 1000  #: rows of a lane that are brought near at a time

CLOCK_LANE = "clock"  #: one lane for all accounts: nobody's provider can hold up the clock
PUBLISH_LANE = "stream"  #: and the subject of the one row that stands for the stream
RETAIN_LANE = "old"  #: and the subject of the one row that stands for the removal of what is old

#: The rows that always stand on the agenda: whoever holds one does that work for all.
STANDING = ((Stage.PUBLISH, PUBLISH_LANE), (Stage.RETAIN, RETAIN_LANE))

MANY_LANES = 100  #: of more than this, most are endpoints that have nothing to do

#: Begins a statement about the lanes of :stage that have rows. A loose scan: from each lane to the next one in the
#: index on (stage, lane, due_at). The last lane it finds is NULL.
LANES = """
WITH RECURSIVE lanes (lane) AS (
    SELECT min(lane) FROM agenda WHERE stage = :stage
    UNION ALL
    SELECT (SELECT min(lane) FROM agenda WHERE stage = :stage AND lane > lanes.lane) FROM lanes
    WHERE lanes.lane IS NOT NULL
)
"""
_LANES = text(f"{LANES} SELECT lane FROM lanes WHERE lane IS NOT NULL")  # noqa: S608 - a constant

#: Leases go on while a host is suspended, and so does this clock; Linux's monotonic one stands still.
_LEASE_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)

#: What to do with rows whose lease seems to be over: take them if the clock is trusted, take them anyway, leave them.
Lost = Literal["ask", "take", "leave"]

#: A stage, and the account or endpoint whose rows must not hold up others'.
Lane = tuple[Stage, str]


def lease_clock() -> float:
    """Seconds by a clock of this host that can't be set, time in suspension included."""
    return time.clock_gettime(_LEASE_CLOCK)


class Claim(NamedTuple):
    """A lease on one agenda row. ``lost``: an earlier holder never came back, what it did is unknown.

    ``over_at``: the lease is not over before this, by ``lease_clock``; infinite where nobody asks. ``lost_token``: that
    of the earlier holder's lease, where the row still had it.
    """

    stage: Stage
    lane: str
    subject: str
    token: str
    lost: bool
    claimed_at: datetime
    over_at: float = math.inf
    fence: int = 0  #: PUBLISH: greater than that of every claim before it
    lost_token: str | None = None


@dataclass(frozen=True, slots=True)
class Room:
    """How many of the rows that a transaction adds to a lane it may lease, so that its own process acts on them at
    once."""

    limits: Mapping[str, int]  #: by lane
    lease_seconds: float
    token: str = field(default_factory=lambda: secrets.token_hex(8))
    begun_at: float = math.inf  #: by ``lease_clock``: its leases begin no earlier


@dataclass(frozen=True, slots=True)
class Due:
    """A lane and the seconds until its next row is due (negative: overdue), by the database's clock."""

    stage: Stage
    lane: str
    in_seconds: float


def claim(
    connection: Connection,
    database: Database,
    stage: Stage,
    lane: str,
    limit: int,
    lease_seconds: float,
    lost: Lost = "ask",
) -> list[Claim]:
    """Lease up to ``limit`` due rows of a lane, oldest first.

    A row whose holders keep dying is claimed alone, and in the end parked. Raises ClockInDoubt where a lease seems to
    be over and nobody knows whether the clock was set: the transaction has to be undone.
    """
    statement = claim_sql.CLAIM_FREE_POSTGRESQL if lost == "leave" else claim_sql.CLAIM_POSTGRESQL
    found = _claim(connection, database, stage, lane, limit, lease_seconds, statement, lost)
    return [held for held, _ in found]


def claim_invoices(
    connection: Connection,
    database: Database,
    stage: Stage,
    lane: str,
    limit: int,
    lease_seconds: float,
    lost: Lost = "ask",
) -> list[tuple[Claim, StoredRow | None]]:
    """The same, each with its invoice; one that is gone comes as None."""
    statement = claim_sql.CLAIM_FREE_INVOICES_POSTGRESQL if lost == "leave" else claim_sql.CLAIM_INVOICES_POSTGRESQL
    claimed = _claim(connection, database, stage, lane, limit, lease_seconds, statement, lost)
    if database.is_postgresql:
        return [(held, None if row.id is None else row) for held, row in claimed]
    if not claimed:
        return []
    rows = execute_keyed(connection, _invoices, ("id",), [(held.subject,) for held, _ in claimed]).all()
    invoices = {row.id: row for row in rows}
    return [(held, invoices.get(held.subject)) for held, _ in claimed]


@functools.cache
def _invoices(dialect: str) -> Executable:
    return select(INVOICE).where(keyed(dialect, INVOICE.c.id))


def _claim(
    connection: Connection,
    database: Database,
    stage: Stage,
    lane: str,
    limit: int,
    lease_seconds: float,
    on_postgresql: Executable,
    lost: Lost,
) -> list[tuple[Claim, StoredRow]]:
    """Claims, each with its row: subject, claims, claimed_at, and whatever else the statement returns."""
    token, over_at = secrets.token_hex(8), lease_clock() + lease_seconds
    keys: dict[str, object] = {"stage": stage.value, "lane": lane, "limit": limit, "token": token}
    lease = timedelta(seconds=lease_seconds)
    if database.is_postgresql:
        rows = execute(connection, on_postgresql, keys | {"lease": lease}).all()
        lost_tokens = {row[0]: row[3] for row in rows}
    else:
        rows, lost_tokens = _claim_on_sqlite(connection, database, keys, lease, lost)
    if lost == "ask" and any(row[1] > 1 for row in rows) and not is_trusted(connection, rows[0][2]):
        raise ClockInDoubt
    killers = _park_killers(connection, stage, rows)
    held = [
        (Claim(stage, lane, row[0], token, row[1] > 1, row[2], over_at, lost_token=lost_tokens.get(row[0])), row)
        for row in rows
        if row[0] not in killers
    ]
    return _isolate(connection, stage, held)


def _claim_on_sqlite(
    connection: Connection, database: Database, keys: dict[str, object], lease: timedelta, lost: Lost
) -> tuple[Sequence[StoredRow], dict[str, str | None]]:
    """The claimed rows, and the token under which each was held before."""
    now = database.now(connection)
    lost_tokens: dict[str, str | None] = {}
    if keys["stage"] == Stage.CREATE.value:
        lost_tokens = dict(map(tuple, connection.execute(claim_sql.LOST_SQLITE, keys | {"now": now})))
    statement = claim_sql.CLAIM_FREE_SQLITE if lost == "leave" else claim_sql.CLAIM_SQLITE
    return connection.execute(statement, keys | {"now": now, "lease_end": now + lease}).all(), lost_tokens


def _park_killers(connection: Connection, stage: Stage, rows: Sequence[StoredRow]) -> set[str]:
    """From now on, rows that have ended too many of their holders wait for a person."""
    killers = {row[0] for row in rows if _is_mortal(stage, row[0]) and row[1] > MAX_CLAIMS}
    if killers:
        park(connection, stage, sorted(killers))
    return killers


def _isolate(
    connection: Connection, stage: Stage, held: list[tuple[Claim, StoredRow]]
) -> list[tuple[Claim, StoredRow]]:
    """The first suspect alone, if there is one: the rest of its batch is given back."""
    suspects = [pair for pair in held if _is_mortal(stage, pair[0].subject) and pair[1][1] > SUSPECT_CLAIMS]
    if not suspects or len(held) == 1:
        return held
    release(connection, [one for one, _ in held if one is not suspects[0][0]], held[0][0].claimed_at)
    return suspects[:1]


def _is_mortal(stage: Stage, subject: str) -> bool:
    """Whether it may be what kills its holders. A standing row is no invoice's, and nobody would redrive it."""
    return (stage, subject) not in STANDING


def park(connection: Connection, stage: Stage, subjects: Sequence[str]) -> None:
    """Take rows off the agenda (``due_at`` NULL) until an operator redrives them."""
    rows = AGENDA.c.stage == stage.value, AGENDA.c.subject.in_(subjects)
    connection.execute(update(AGENDA).where(*rows).values(due_at=null(), lease_token=null()))


def release(connection: Connection, claims: Iterable[Claim], due_at: datetime) -> None:
    """Give back rows that were claimed and not acted on, as if nobody had claimed them."""
    held = sorted(claims, key=lambda claim: (claim.stage.value, claim.subject))
    statement = (
        update(AGENDA)
        .where(
            AGENDA.c.stage == bindparam("s"), AGENDA.c.subject == bindparam("k"), AGENDA.c.lease_token == bindparam("t")
        )
        .values(due_at=bindparam("d", type_=UtcTime), lease_token=null(), claims=AGENDA.c.claims - 1)
    )
    if held:
        connection.execute(statement, [{"s": c.stage.value, "k": c.subject, "t": c.token, "d": due_at} for c in held])


def finish(connection: Connection, held: Claim, due_at: datetime) -> None:
    """Complete a row that stays, to be due again at ``due_at``. Does nothing where the lease was lost."""
    connection.execute(
        update(AGENDA)
        .where(AGENDA.c.stage == held.stage.value, AGENDA.c.subject == held.subject, AGENDA.c.lease_token == held.token)
        .values(due_at=due_at, lease_token=null(), claims=0)
    )


def add_standing(connection: Connection, database: Database) -> None:
    """Make sure of the rows that always stand on the agenda; harmless when repeated."""
    now = database.now(connection)
    rows = [
        {"stage": stage.value, "subject": lane, "lane": lane, "due_at": now, "claims": 0, "pokes": 0}
        for stage, lane in STANDING
    ]
    connection.execute(insert_into(connection, AGENDA).on_conflict_do_nothing(), rows)


def lanes_of(connection: Connection, stage: str) -> list[str]:
    """The lanes of a stage that have any rows, by one index look-up each, however many rows there are."""
    return list(connection.execute(_LANES, {"stage": stage}).scalars())


def next_due(connection: Connection, database: Database, lanes: Sequence[Lane]) -> list[Due]:
    """When each of ``lanes`` has its next row due; a lane without rows is left out. Index reads only, and none for idle
    lanes where there are many lanes.

    A standing row that lies too far away is due now: the clock has been set back since.
    """
    keys = [(stage.value, lane) for stage, lane in lanes]
    if len(keys) > MANY_LANES:
        stages = sorted({stage for stage, _ in keys})
        busy = {(stage, lane) for stage in stages for lane in lanes_of(connection, stage)}
        keys = [key for key in keys if key in busy]
    if not keys:
        return []
    rows = execute_keyed(connection, _earliest, ("stage", "lane"), keys).all()
    found = [(Stage(row.stage), row.lane, row.due_at) for row in rows if row.due_at is not None]
    now = database.now_of(connection, rows)
    return [Due(stage, lane, _wait(stage, due_at - now)) for stage, lane, due_at in found]


def _wait(stage: Stage, wait: timedelta) -> float:
    longest = STANDING_WAITS.get(stage)
    return 0.0 if longest is not None and wait > longest else wait.total_seconds()


@functools.cache
def _earliest(dialect: str) -> Executable:
    return _ends(dialect, func.min)


@functools.cache
def _latest(dialect: str) -> Executable:
    return _ends(dialect, func.max)


def _ends(dialect: str, end: Callable[..., ColumnElement[datetime]]) -> Executable:
    asked = key_rows(dialect, ("stage", "lane"))
    due_at = (
        select(end(AGENDA.c.due_at, type_=UtcTime))
        .where(AGENDA.c.stage == asked.c.stage, AGENDA.c.lane == asked.c.lane)
        .scalar_subquery()
    )
    return with_now(dialect, select(asked.c.stage, asked.c.lane, due_at.label("due_at")))


def far_lanes(connection: Connection, database: Database, waits: Mapping[Lane, timedelta]) -> list[Due]:
    """Lanes with rows that lie further away than the longest wait there (``waits``): the clock has been set back since
    they were planned. Index reads only."""
    if not waits:
        return []
    rows = execute_keyed(connection, _latest, ("stage", "lane"), [(stage.value, lane) for stage, lane in waits]).all()
    now = database.now_of(connection, rows)
    ends = [(Stage(row.stage), row.lane, row.due_at - now) for row in rows if row.due_at is not None]
    return [Due(stage, lane, far.total_seconds()) for stage, lane, far in ends if far > waits[stage, lane]]


def bring_near(connection: Connection, database: Database, lane: Lane, wait: timedelta) -> None:
    """Make rows of a lane due, some at a time, that lie further away than ``wait``."""
    now, key = database.now(connection), (AGENDA.c.stage == lane[0].value, AGENDA.c.lane == lane[1])
    far = select(AGENDA.c.subject).where(*key, AGENDA.c.due_at > now + wait).order_by(AGENDA.c.subject)
    subjects = far.limit(BROUGHT_NEAR).with_for_update(skip_locked=True)
    connection.execute(update(AGENDA).where(*key, AGENDA.c.subject.in_(subjects)).values(due_at=now))
