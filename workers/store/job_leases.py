"""Who works on a job: whoever has its lease, which each batch renews.

A job is done in batches. Each is a transaction that also writes how far the job is: whoever works on it may die at any
moment, and another goes on from there.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import Connection, Table, exists, select, update

from workers.store.database import Database
from workers.store.rows import StoredRow

RUNNING, PAUSED, DONE, FAILED, STOPPED = "running", "paused", "done", "failed", "stopped"
#: How long a job stays with whoever works on it after each batch.
LEASE_SECONDS = 30.0
#: How long a finished one is kept.
KEPT = timedelta(days=30)


def take(database: Database, jobs: Table, order: str = "id", **ours: object) -> StoredRow | None:
    """The first job that nobody works on, by ``order``. It is ours for a while; the values of ``ours`` are written with
    it."""
    if not database.read(_any_running, jobs):
        return None
    with database.transaction() as connection:
        now = database.now(connection)
        free = jobs.c.leased_until.is_(None) | (jobs.c.leased_until < now)
        first = select(jobs).where(jobs.c.state == RUNNING, free).order_by(jobs.c[order], jobs.c.id).limit(1)
        row = connection.execute(first.with_for_update(skip_locked=True)).one_or_none()
        if row is not None:
            values = {"leased_until": lease_end(now), **ours}
            connection.execute(update(jobs).where(jobs.c.id == row.id).values(values))
        return row


def lease_end(now: datetime) -> datetime:
    """When the lease of a job that is taken or renewed now ends."""
    return now + timedelta(seconds=LEASE_SECONDS)


def _any_running(connection: Connection, jobs: Table) -> bool:
    """Without a lock, because this is asked all the time."""
    return bool(connection.execute(select(exists().where(jobs.c.state == RUNNING))).scalar())
