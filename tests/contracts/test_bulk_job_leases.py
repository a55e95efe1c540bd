"""Several processes at one act on everything that matches: each invoice has it once, whoever dies or is slow."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.contracts.bulk_cases import QUEUED, acts_of, fill, job_of, run, taken
from tests.contracts.store_cases import (
    OPERATOR,
    change,
    evidence_of,
    in_threads,
    invoice_of,
    now,
    open_store,
    pend,
)
from workers.store.acts import Act
from workers.store.bulk_jobs import CANCEL, RECHECK, Deal, Lost, take_job
from workers.store.operate import bulk
from workers.store.operate.bulk import begin, do_batch, work_on
from workers.store.reads.selection import Selection
from workers.store.tables import BULK


@pytest.fixture
def store(database, monkeypatch):
    monkeypatch.setattr(bulk, "BATCH", 2)
    return open_store(database)


def test_whoever_is_killed_in_the_middle_leaves_it_to_another_and_nothing_is_done_twice(store, database):
    ids = pend(store, 5)
    job = begin(store, OPERATOR, Deal(RECHECK), Selection(statuses=("pending",)), "")
    dead = taken(database)
    assert do_batch(store, dead) is not None  # and then it is killed
    assert take_job(database) is None, "its lease is not over"

    change(database, BULK, leased_until=now(database) - timedelta(seconds=1))
    run(store)

    assert job_of(store, job).tally.done == 5
    assert sorted(row.invoice_id for row in acts_of(database, Act.RECHECK)) == sorted(ids)
    assert all(len([row for row in evidence_of(database, one) if row.kind == "RecheckRequested"]) == 1 for one in ids)


def test_who_was_slower_than_its_lease_takes_back_what_it_did(store, database):
    fill(store, 4)
    job = begin(store, OPERATOR, Deal(CANCEL), QUEUED, "")
    slow = taken(database)
    change(database, BULK, leased_until=now(database) - timedelta(seconds=1))
    fast = taken(database)

    with pytest.raises(Lost):
        do_batch(store, slow)
    assert acts_of(database, Act.CANCEL) == []
    assert do_batch(store, fast) is not None

    assert job_of(store, job).tally.done == 2
    assert len(acts_of(database, Act.CANCEL)) == 2


def test_a_process_that_stops_lets_go_of_it_at_once(store, database):
    fill(store, 5)
    job = begin(store, OPERATOR, Deal(CANCEL), QUEUED, "")

    assert work_on(store, lambda: True)

    assert job_of(store, job).tally.done == 2
    run(store)
    assert job_of(store, job).tally.done == 5


def test_two_take_turns_and_one_that_is_worked_on_is_left(store, database, monkeypatch):
    monkeypatch.setattr(bulk, "TURN_SECONDS", -1.0)
    fill(store, 4)
    pend(store, 4)
    first = begin(store, OPERATOR, Deal(CANCEL), QUEUED, "")
    second = begin(store, OPERATOR, Deal(RECHECK), Selection(statuses=("pending",)), "")

    assert work_on(store)
    assert work_on(store)
    assert (job_of(store, first).tally.done, job_of(store, second).tally.done) == (2, 2)

    held = taken(database)
    assert held.id == first.id
    while work_on(store):
        pass
    assert job_of(store, second).state == "done"
    assert job_of(store, first).state == "running"


def test_two_processes_side_by_side_do_each_invoice_once(store, database):
    ids = fill(store, 12)
    jobs = [begin(store, OPERATOR, Deal(CANCEL), QUEUED, "") for _ in range(2)]

    in_threads(lambda: run(store), lambda: run(open_store(database)))
    run(store)

    assert len(acts_of(database, Act.CANCEL)) == len(ids)
    assert {invoice_of(database, one).status for one in ids} == {"cancelled"}
    tallies = [job_of(store, job).tally for job in jobs]
    assert sum(tally.done for tally in tallies) == len(ids)
    assert [tally.dealt_with for tally in tallies] == [len(ids), len(ids)]
