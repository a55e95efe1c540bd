"""Jobs for people: acts on many invoices, and replays to an endpoint, newest first."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from sqlalchemy import Connection, select

from workers.store.bulk_jobs import BulkJob, job_of
from workers.store.endpoints import list_endpoints
from workers.store.reads.endpoints import is_within
from workers.store.replay_jobs import ReplayJob, find_job
from workers.store.replay_jobs import job_of as replay_of
from workers.store.tables import BULK, JOB

#: How many jobs of others are passed over for a page.
LOOKED_AT = 500
_PREFIXES = "job_", "rpl_"

Job = BulkJob | ReplayJob


def page_of_jobs(
    connection: Connection, accounts: Collection[str] | None, *, before: str | None, limit: int
) -> Sequence[Job]:
    """Jobs that somebody with these accounts (None: all) sees, newest first, from the one before ``before`` on. Ids
    grow with time behind their prefix."""
    endpoints = None if accounts is None else _endpoints(connection, accounts)
    bulk, replays = select(BULK).order_by(BULK.c.id.desc()), select(JOB).order_by(JOB.c.id.desc())
    if before is not None:
        bulk = bulk.where(BULK.c.id < f"job_{before[4:]}")
        replays = replays.where(JOB.c.id < f"rpl_{before[4:]}")
    most = limit if accounts is None else LOOKED_AT
    found: list[Job] = [job for row in connection.execute(bulk.limit(most)) if (job := job_of(row)).is_within(accounts)]
    found += [
        replay_of(row)
        for row in connection.execute(replays.limit(most))
        if endpoints is None or row.endpoint_id in endpoints
    ]
    return sorted(found, key=lambda job: job.id[4:], reverse=True)[:limit]


def job_within(connection: Connection, job_id: str, accounts: Collection[str] | None) -> Job | None:
    """One of them; None: there is none with this id, or it is not to be seen."""
    if job_id[:4] not in _PREFIXES:
        return None
    if job_id.startswith("rpl_"):
        replay = find_job(connection, job_id)
        seen = replay is not None and (accounts is None or replay.endpoint_id in _endpoints(connection, accounts))
        return replay if seen else None
    row = connection.execute(select(BULK).where(BULK.c.id == job_id)).one_or_none()
    job = None if row is None else job_of(row)
    return job if job is not None and job.is_within(accounts) else None


def _endpoints(connection: Connection, accounts: Collection[str]) -> set[str]:
    return {one.id for one in list_endpoints(connection) if is_within(one, accounts)}
