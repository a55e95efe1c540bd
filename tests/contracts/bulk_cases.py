"""What the suites of acts on everything that matches share."""

from __future__ import annotations

from tests.contracts.store_cases import (
    order,
    rows,
    take,
)
from workers.store.bulk_jobs import find_job, take_job
from workers.store.operate.bulk import work_on
from workers.store.reads.selection import Selection
from workers.store.tables import ACT


def fill(store, count=5, **fields):
    return take(store, *(order(f"order-{number}", **fields) for number in range(count)))


def run(store):
    while work_on(store):
        pass


def job_of(store, job):
    found = store.database.read(find_job, job.id)
    assert found is not None
    return found


def acts_of(database, act):
    return rows(database, ACT, ACT.c.act == act.value)


def taken(database):
    """The one that is next."""
    job = take_job(database)
    assert job is not None
    return job


QUEUED = Selection(statuses=("queued",))
