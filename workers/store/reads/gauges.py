"""What is watched all the time: a few numbers, each found by index, however many rows there are.

Counts end at ``COUNTED``: more is not worth counting.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, Integer, Select, String, func, select, text

from domain.decision import Stage
from domain.status import Status
from domain.why.facts import LATE
from domain.why.held_up import REFUSALS
from domain.why.patience import accounts_of
from domain.why.processes import GONE, WORKER
from domain.work_report import Report, read_report
from workers.store.agenda import LANES
from workers.store.callbacks import UNMATCHED
from workers.store.database import Database
from workers.store.reads.contradictions import settled, unsettled
from workers.store.reads.drift import open_drifts
from workers.store.reads.put_off import find_put_off
from workers.store.reads.server import read_skew
from workers.store.reads.why.held_up import read_held_up
from workers.store.tables import CALLBACK, ENDPOINT, EVENT, INVOICE, PROCESS, REJECTED
from workers.store.tables.columns import UtcTime

COUNTED = 10_000
#: How many deliveries of an endpoint are searched for the oldest: those of its oldest invoices.
OLDEST = 1000
MOST_WORKERS = 1000

_LOADS = text(f"""
{LANES}
SELECT lane,
       (SELECT min(due_at) FROM agenda WHERE stage = :stage AND agenda.lane = lanes.lane) AS oldest,
       (SELECT count(*) FROM (SELECT 1 FROM agenda WHERE stage = :stage AND agenda.lane = lanes.lane AND due_at <= :now
                              LIMIT :counted) AS due) AS due,
       (SELECT count(*) FROM (SELECT 1 FROM agenda WHERE stage = :stage AND agenda.lane = lanes.lane AND due_at IS NULL
                              LIMIT :counted) AS parked) AS parked
FROM lanes WHERE lane IS NOT NULL
""").columns(lane=String, oldest=UtcTime, due=Integer, parked=Integer)  # noqa: S608 - a constant

_REFUSED = text("""
WITH RECURSIVE accounts (name) AS (
    SELECT min(provider_account) FROM invoice WHERE status = 'queued' AND refused_since IS NOT NULL
    UNION ALL
    SELECT (SELECT min(provider_account) FROM invoice
            WHERE status = 'queued' AND refused_since IS NOT NULL AND provider_account > accounts.name)
    FROM accounts WHERE accounts.name IS NOT NULL
)
SELECT name FROM accounts WHERE name IS NOT NULL
""")

# Ids of invoices grow with their arrival: the oldest event, or nearly the oldest, is one of the oldest invoices'.
_BACKLOGS = text(f"""
{LANES}
SELECT lane,
       (SELECT min(created_at) FROM (
            SELECT created_at FROM delivery WHERE endpoint_id = lanes.lane AND state = 'due'
            ORDER BY invoice_id, sequence LIMIT :oldest
        ) AS first) AS oldest
FROM lanes WHERE lane IS NOT NULL
""").columns(lane=String, oldest=UtcTime)  # noqa: S608 - a constant


@dataclass(frozen=True, slots=True)
class LaneLoad:
    """A lane of the agenda. ``oldest``: when its next row is, or was, due; None if all are parked."""

    stage: Stage
    lane: str
    oldest: datetime | None
    due: int
    parked: int


@dataclass(frozen=True, slots=True)
class InDoubt:
    """Invoices in doubt, and since when the oldest of them is."""

    invoices: int
    since: datetime | None


@dataclass(frozen=True, slots=True)
class Watched:
    """All these numbers, each as of its own moment."""

    now: datetime
    host_ahead_seconds: float
    loads: list[LaneLoad]
    put_off: set[str]  #: accounts with late work whose provider has said 429
    endpoints: Mapping[str, bool]
    waiting_since: Mapping[str, datetime]  #: by endpoint
    untold_since: datetime | None
    in_doubt: InDoubt
    contradictions: int
    unmatched: int
    rejected: int
    refused: set[str]
    workers: list[Report | None]  #: what each running worker reports of its recent work
    drift: Mapping[str, int]  #: open, by account


def read_watched(database: Database) -> Watched:
    """Read all of it. Raises what the database raises while it is away."""
    with database.glancing() as connection:
        now = database.now(connection)
        loads = read_loads(connection, now)
        return Watched(
            now=now,
            host_ahead_seconds=read_skew(connection, database),
            loads=loads,
            put_off=read_put_off(connection, loads, now),
            endpoints=read_endpoints(connection),
            waiting_since=read_oldest_waiting(connection),
            untold_since=read_oldest_untold(connection),
            in_doubt=count_in_doubt(connection),
            contradictions=count_contradictions(connection),
            unmatched=count_unmatched(connection),
            rejected=count_rejected(connection),
            refused=read_refused(connection),
            workers=read_workers(connection, now),
            drift=count_drift(connection),
        )


def read_loads(connection: Connection, now: datetime) -> list[LaneLoad]:
    """Every lane that has rows."""
    return [
        LaneLoad(stage, *row)
        for stage in Stage
        for row in connection.execute(_LOADS, {"stage": stage.value, "now": now, "counted": COUNTED})
    ]


def read_put_off(connection: Connection, loads: Sequence[LaneLoad], now: datetime) -> set[str]:
    """Accounts with late work whose provider has said 429 until a time that is still to come."""
    late = [(load.stage, load.lane) for load in loads if load.oldest is not None and now - load.oldest > LATE]
    return find_put_off(connection, now, accounts_of(late))


def count_in_doubt(connection: Connection) -> InDoubt:
    """Since the last change, which stands still while an invoice is in doubt."""
    first = select(INVOICE.c.updated_at).where(INVOICE.c.status == Status.IN_DOUBT.value)
    first = first.order_by(INVOICE.c.id).limit(COUNTED)
    found = first.subquery()
    return InDoubt(*connection.execute(select(func.count(), func.min(found.c.updated_at, type_=UtcTime))).one())


def count_drift(connection: Connection) -> dict[str, int]:
    """How many are open of each account; there is a bound on that."""
    counted: Counter[str] = Counter()
    for row in open_drifts(connection):
        counted[row.account] += row.open
    return dict(counted)


def count_contradictions(connection: Connection) -> int:
    """Invoices that a source contradicts, undecided so far."""
    newest = unsettled(COUNTED).subquery()
    counted = select(func.count(newest.c.invoice_id.distinct())).select_from(newest).where(~settled(newest))
    return int(connection.execute(counted).scalar_one())


def count_unmatched(connection: Connection) -> int:
    """Callbacks that no invoice is known for."""
    found = select(CALLBACK.c.id).where(CALLBACK.c.state == UNMATCHED).order_by(CALLBACK.c.id)
    return count_found(connection, found)


def count_rejected(connection: Connection) -> int:
    """Messages that were rejected and not sent again."""
    found = select(REJECTED.c.id).where(REJECTED.c.redriven_at.is_(None)).order_by(REJECTED.c.id)
    return count_found(connection, found)


def read_refused(connection: Connection) -> set[str]:
    """Accounts that are turned away: at creates, whose orders wait, or at the last look-ups of open invoices."""
    looked_up = {held.account for held in read_held_up(connection) if held.cause in REFUSALS}
    return looked_up | set(connection.execute(_REFUSED).scalars())


def read_workers(connection: Connection, now: datetime) -> list[Report | None]:
    """The report of each worker that was seen lately; None of one that has not reported yet."""
    lately = PROCESS.c.seen_at.between(now - GONE, now + GONE)
    rows = connection.execute(select(PROCESS.c.work).where(PROCESS.c.role == WORKER, lately).limit(MOST_WORKERS))
    return [None if work is None else read_report(work) for work in rows.scalars()]


def read_endpoints(connection: Connection) -> Mapping[str, bool]:
    """Every endpoint by id, and whether it is disabled."""
    rows = connection.execute(select(ENDPOINT.c.id, ENDPOINT.c.disabled_at))
    return {endpoint: disabled_at is not None for endpoint, disabled_at in rows}


def read_oldest_waiting(connection: Connection) -> Mapping[str, datetime]:
    """By endpoint, when the oldest event that waits for it was written. Endpoints that nothing waits for are left
    out."""
    rows = connection.execute(_BACKLOGS, {"stage": Stage.DELIVER.value, "oldest": OLDEST})
    return {lane: oldest for lane, oldest in rows if oldest is not None}


def read_oldest_untold(connection: Connection) -> datetime | None:
    """When the oldest event that the stream has not been told was written."""
    oldest = select(EVENT.c.created_at).where(EVENT.c.published_at.is_(None)).order_by(EVENT.c.number).limit(1)
    return connection.execute(oldest).scalar_one_or_none()


def count_found(connection: Connection, found: Select[int]) -> int:
    """How many rows a query finds, at most ``COUNTED``."""
    counted = select(func.count()).select_from(found.limit(COUNTED).subquery())
    return int(connection.execute(counted).scalar_one())
