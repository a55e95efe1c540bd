"""Claims of look-ups where an account has a budget for them: from one lane after the other."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import timedelta

from sqlalchemy import Connection, func, select, update

from domain.decision import Stage
from domain.looks import SEPARATOR, Look, account_of, lane_of
from workers.store.agenda import Claim, Lost, claim_invoices, release
from workers.store.agenda import lanes_of as lanes_of_stage
from workers.store.database import Database
from workers.store.rows import StoredRow
from workers.store.tables import AGENDA

#: A look-up that was given back unasked comes before all that are due: its turn had come.
HEAD_OF_THE_QUEUE = timedelta(days=1)
GATHERED = 1000  #: rows that one transaction moves to another lane


def claim(
    connection: Connection,
    database: Database,
    account: str,
    looks: Sequence[Look],
    limit: int,
    lease_seconds: float,
    lost: Lost,
) -> list[tuple[Claim, StoredRow | None]]:
    """Lease up to ``limit`` due look-ups with their invoices: all of the first kind before any of the next.

    Stops after a row whose holder was lost: that one may have to be claimed alone.
    """
    found: list[tuple[Claim, StoredRow | None]] = []
    for look in looks:
        lane, room = lane_of(account, look), limit - len(found)
        found += claim_invoices(connection, database, Stage.CHECK, lane, room, lease_seconds, lost)
        if len(found) >= limit or any(held.lost for held, _ in found):
            break
    return found


def put_back(connection: Connection, database: Database, claims: Sequence[Claim]) -> None:
    """Give back look-ups that nobody was asked about: they come next."""
    release(connection, claims, database.now(connection) - HEAD_OF_THE_QUEUE)


def count_open(connection: Connection, account: str) -> int:
    """How many open invoices of an account are looked up in turn; counted by index."""
    rows = AGENDA.c.stage == Stage.CHECK.value, AGENDA.c.lane == lane_of(account, Look.OPEN)
    return int(connection.scalar(select(func.count()).where(*rows)) or 0)


def strays(connection: Connection, budgeted: Collection[str]) -> list[str]:
    """Lanes of one kind of look-up whose account has no budget any more: nobody would claim them. Not those for
    look-ups after callbacks, which every account has."""
    lanes = [lane for lane in lanes_of_stage(connection, Stage.CHECK.value) if account_of(lane) not in budgeted]
    return [lane for lane in lanes if SEPARATOR in lane and lane != lane_of(account_of(lane), Look.CALLED)]


def gather(connection: Connection, lane: str) -> bool:
    """Move rows of a lane to its account's own, some at a time. Returns whether there may be more. Leases are kept."""
    rows = AGENDA.c.stage == Stage.CHECK.value, AGENDA.c.lane == lane
    found = select(AGENDA.c.subject).where(*rows).order_by(AGENDA.c.subject).limit(GATHERED)
    subjects = found.with_for_update(skip_locked=True)
    moved = connection.execute(
        update(AGENDA).where(*rows, AGENDA.c.subject.in_(subjects)).values(lane=account_of(lane))
    )
    return moved.rowcount >= GATHERED
