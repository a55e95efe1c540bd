"""Acts on everything that matches a filter: each invoice once, whoever dies meanwhile, and told in the audit log."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from sqlalchemy import select

from domain.status import Status
from tests.contracts.bulk_cases import QUEUED, acts_of, fill, job_of, run, taken
from tests.contracts.store_cases import (
    OPERATOR,
    SILENT_ACCOUNT,
    change,
    created,
    deliveries_of,
    evidence_of,
    invoice_of,
    judge,
    now,
    open_store,
    pend,
    queue,
    rows,
    seen,
    subscribe,
)
from workers.store import job_leases
from workers.store.acts import Act
from workers.store.bulk_jobs import (
    CANCEL,
    CREATE_AGAIN,
    MARK,
    RECHECK,
    REPLAY,
    Deal,
    Lost,
    failures_of,
)
from workers.store.operate import bulk
from workers.store.operate import invoices as operated
from workers.store.operate.bulk import GONE, NothingMatches, begin, do_batch, pause, resume, stop
from workers.store.operate.invoices import Mark
from workers.store.reads.contradictions import list_contradictions
from workers.store.reads.jobs import job_within, page_of_jobs
from workers.store.reads.selection import Selection
from workers.store.tables import BULK


@pytest.fixture
def store(database, monkeypatch):
    monkeypatch.setattr(bulk, "BATCH", 2)
    return open_store(database)


def test_everything_that_matches_is_done_once_and_told_with_the_reason_and_the_job(store, database):
    ids = fill(store)
    other = pend(store)[0]
    job = begin(store, OPERATOR, Deal(CANCEL), QUEUED, "status=queued")

    run(store)

    assert {invoice_of(database, one).status for one in ids} == {"cancelled"}
    assert invoice_of(database, other).status == "pending"
    ended = job_of(store, job)
    assert (ended.state, ended.tally.done, ended.tally.skipped, ended.tally.failed) == ("done", 5, 0, 0)
    told = acts_of(database, Act.CANCEL)
    assert sorted(row.invoice_id for row in told) == sorted(ids)
    assert {(row.by, row.origin, row.reason) for row in told} == {(OPERATOR.name, OPERATOR.origin, OPERATOR.reason)}
    assert {json.loads(row.after)["job"] for row in told} == {job.id}
    (begun,) = acts_of(database, Act.BEGIN_JOB)
    assert json.loads(begun.after) == {"job": job.id, "kind": "cancel", "filter": "status=queued", "invoices": 5}


def test_what_comes_after_it_was_asked_for_is_not_in_it(store, database):
    fill(store, 1)
    job = begin(store, OPERATOR, Deal(CANCEL), QUEUED, "")
    late = queue(store)

    run(store)

    assert invoice_of(database, late).status == "queued"
    assert job_of(store, job).tally.done == 1


def test_what_matches_no_longer_is_left_out_and_counted(store, database):
    ids = fill(store)
    job = begin(store, OPERATOR, Deal(CANCEL), QUEUED, "")
    judge(store, ids[0], created())
    judge(store, ids[4], created())

    run(store)

    assert [invoice_of(database, one).status for one in ids] == ["pending", *["cancelled"] * 3, "pending"]
    tally = job_of(store, job).tally
    assert (tally.done, tally.skipped, tally.failed) == (3, 2, 0)


def test_what_moves_between_the_look_and_the_lock_is_left_out(store, database, monkeypatch):
    ids = fill(store, 2)
    job = begin(store, OPERATOR, Deal(CANCEL), QUEUED, "")
    real = operated.do_to_many

    def slow(*arguments, **options):
        monkeypatch.setattr(bulk, "do_to_many", real)
        judge(store, ids[0], created())
        return real(*arguments, **options)

    monkeypatch.setattr(bulk, "do_to_many", slow)

    run(store)

    assert [invoice_of(database, one).status for one in ids] == ["pending", "cancelled"]
    tally = job_of(store, job).tally
    assert (tally.done, tally.skipped) == (1, 1)
    assert len(acts_of(database, Act.CANCEL)) == 1


def test_a_stopped_one_does_no_more(store, database):
    ids = fill(store, 4)
    job = begin(store, OPERATOR, Deal(CANCEL), QUEUED, "")
    ours = do_batch(store, taken(database))
    assert ours is not None

    assert stop(store, OPERATOR, job.id)

    with pytest.raises(Lost):
        do_batch(store, ours)
    run(store)
    assert [invoice_of(database, one).status for one in ids] == ["queued", "queued", "cancelled", "cancelled"]
    assert job_of(store, job).state == "stopped"
    assert not stop(store, OPERATOR, job.id)
    assert not stop(store, OPERATOR, "job_unknown")
    assert [json.loads(row.after)["job"] for row in acts_of(database, Act.STOP_JOB)] == [job.id]


def test_a_paused_one_waits_and_goes_on_where_it_was(store, database):
    ids = fill(store, 4)
    job = begin(store, OPERATOR, Deal(CANCEL), QUEUED, "")
    ours = do_batch(store, taken(database))
    assert ours is not None

    assert pause(store, OPERATOR, job.id)
    with pytest.raises(Lost):
        do_batch(store, ours)
    run(store)
    assert [invoice_of(database, one).status for one in ids] == ["queued", "queued", "cancelled", "cancelled"]
    assert not pause(store, OPERATOR, job.id)

    assert resume(store, OPERATOR, job.id)
    run(store)
    assert {invoice_of(database, one).status for one in ids} == {"cancelled"}
    assert (job_of(store, job).state, job_of(store, job).tally.done) == ("done", 4)
    assert not resume(store, OPERATOR, job.id)
    for act in (Act.PAUSE_JOB, Act.RESUME_JOB):
        assert [json.loads(row.after)["job"] for row in acts_of(database, act)] == [job.id]


def test_a_paused_one_can_be_stopped(store, database):
    ids = fill(store, 2)
    job = begin(store, OPERATOR, Deal(CANCEL), QUEUED, "")
    assert pause(store, OPERATOR, job.id)

    assert stop(store, OPERATOR, job.id)

    run(store)
    assert {invoice_of(database, one).status for one in ids} == {"queued"}
    assert not resume(store, OPERATOR, job.id)


def test_all_that_failed_is_kept_in_the_order_in_which_it_came_up_and_goes_with_the_job(store, database, monkeypatch):
    monkeypatch.setattr("workers.store.bulk_jobs.MOST_FAILURES", 2)
    ids = pend(store, 5)
    for one in ids:
        judge(store, one, seen("paid"))
    job = begin(store, OPERATOR, Deal(CANCEL), Selection(statuses=("paid",)), "")
    run(store)

    kept = database.read(failures_of, job.id, 0, 100)
    assert [row.number for row in kept] == [1, 2, 3, 4, 5]
    assert [row.invoice_id for row in kept] == sorted(ids, reverse=True)
    assert {row.why for row in kept} == {"it is paid"}
    assert [row.number for row in database.read(failures_of, job.id, 3, 1)] == [4]
    assert len(job_of(store, job).tally.failures) == 2

    change(database, BULK, BULK.c.id == job.id, finished_at=now(database) - job_leases.KEPT - timedelta(seconds=1))
    begin(store, OPERATOR, Deal(RECHECK), Selection(statuses=("paid",)), "")
    assert database.read(failures_of, job.id, 0, 100) == []


def test_what_is_not_possible_is_kept_with_its_reason(store, database):
    ids = fill(store, 3)
    judge(store, ids[1], created())
    judge(store, ids[1], seen("paid"))
    job = begin(store, OPERATOR, Deal(CANCEL), Selection(), "")

    run(store)

    tally = job_of(store, job).tally
    assert (tally.done, tally.failed) == (2, 1)
    assert list(tally.failures) == [(ids[1], "order-1", "it is paid")]


def test_a_mark_that_would_be_a_contradiction_is_not_made(store, database):
    open_one, paid = pend(store, 2)
    judge(store, paid, seen("paid"))
    before = len(evidence_of(database, paid))
    job = begin(store, OPERATOR, Deal(MARK, Mark(Status.FAILED)), Selection(), "")

    run(store)

    assert invoice_of(database, open_one).status == "failed"
    assert len(evidence_of(database, paid)) == before
    tally = job_of(store, job).tally
    assert (tally.done, tally.failed) == (1, 1)
    assert tally.failures[0][2] == "it is paid"


def test_those_that_stay_expired_are_settled_together(store, database):
    expired, open_one, paid = pend(store, 3)
    judge(store, expired, seen("expired"))
    judge(store, expired, seen("partially_paid"))
    judge(store, paid, seen("paid"))
    job = begin(store, OPERATOR, Deal(MARK, Mark(Status.EXPIRED)), Selection(), "")

    run(store)

    assert [row.settled for row in list_contradictions(database)] == [True]
    tally = job_of(store, job).tally
    assert (tally.done, tally.failed) == (1, 2)
    assert {one[0]: one[2] for one in tally.failures} == {open_one: "it is pending", paid: "it is paid"}


def test_an_invoice_that_breaks_its_batch_is_left_alone_with_its_fault(store, database, monkeypatch):
    ids = fill(store, 4)
    real = operated.do_to_many

    def broken(given, actor, act, chosen, *arguments, **options):
        if ids[3] in chosen:
            raise RuntimeError("odd")
        return real(given, actor, act, chosen, *arguments, **options)

    monkeypatch.setattr(bulk, "do_to_many", broken)
    job = begin(store, OPERATOR, Deal(CANCEL), QUEUED, "")

    run(store)

    assert [invoice_of(database, one).status for one in ids] == ["cancelled"] * 3 + ["queued"]
    tally = job_of(store, job).tally
    assert (tally.done, tally.failed, job_of(store, job).state) == (3, 1, "done")
    assert tally.failures[0] == (ids[3], "order-3", "our fault: RuntimeError")


def test_orders_in_doubt_are_created_again(store, database):
    from domain.evidence import InDoubt

    held = queue(store, SILENT_ACCOUNT)
    judge(store, held, InDoubt(reason="no answer"))
    job = begin(store, OPERATOR, Deal(CREATE_AGAIN), Selection(needs_person=True), "needs=person")

    run(store)

    assert job_of(store, job).tally.done == 1
    assert [row.invoice_id for row in acts_of(database, Act.CREATE_AGAIN)] == [held]


@pytest.mark.parametrize(("newest_only", "events"), [(False, 4), (True, 2)])
def test_events_are_replayed_all_or_only_each_invoices_newest(store, database, newest_only, events):
    ids = pend(store, 2)
    for one in ids:
        judge(store, one, seen("paid"))
    endpoint_id = subscribe(database)
    deal = Deal(REPLAY, endpoint_id=endpoint_id, newest_only=newest_only)
    job = begin(store, OPERATOR, deal, Selection(), "")

    run(store)

    ended = job_of(store, job)
    assert (ended.tally.done, ended.tally.events) == (2, events)
    sent = [(row.sequence, row.state) for one in ids for row in deliveries_of(database, one)]
    assert len(sent) == events
    assert {state for _, state in sent} == {"due"}
    assert {sequence for sequence, _ in sent} == ({2} if newest_only else {1, 2})
    assert json.loads(acts_of(database, Act.REPLAY)[0].after)["job"] == job.id


def test_a_replay_to_an_endpoint_that_is_gone_fails_and_says_so(store, database):
    pend(store)
    job = begin(store, OPERATOR, Deal(REPLAY, endpoint_id="ep_gone"), Selection(), "")

    run(store)

    assert (job_of(store, job).state, job_of(store, job).why) == ("failed", GONE)


def test_what_matches_nothing_is_no_job(store, database):
    with pytest.raises(NothingMatches):
        begin(store, OPERATOR, Deal(CANCEL), Selection(statuses=("refunded",)), "")
    assert rows(database, BULK) == []
    assert acts_of(database, Act.BEGIN_JOB) == []


def test_a_job_is_seen_by_whoever_sees_all_of_its_accounts(store, database):
    fill(store, 1)
    queue(store, SILENT_ACCOUNT)
    ours = begin(store, OPERATOR, Deal(CANCEL), QUEUED.within({SILENT_ACCOUNT}), "")
    all_of_them = begin(store, OPERATOR, Deal(CANCEL), QUEUED, "")

    def seen_by(accounts):
        return [job.id for job in database.read(page_of_jobs, accounts, before=None, limit=10)]

    assert seen_by(None) == [all_of_them.id, ours.id]
    assert seen_by({SILENT_ACCOUNT}) == [ours.id]
    assert seen_by({"zeroxhost"}) == []
    assert database.read(job_within, ours.id, {"zeroxhost"}) is None
    assert database.read(job_within, "job_nothing", None) is None
    assert database.read(job_within, "x" * 5000, None) is None
    assert [job.id for job in database.read(page_of_jobs, None, before=all_of_them.id, limit=10)] == [ours.id]


def test_long_finished_ones_are_removed_with_the_next(store, database):
    fill(store, 2)
    old = begin(store, OPERATOR, Deal(CANCEL), QUEUED, "")
    run(store)
    change(database, BULK, finished_at=now(database) - job_leases.KEPT - timedelta(days=1))
    queue(store)

    new = begin(store, OPERATOR, Deal(CANCEL), QUEUED, "")

    with database.reading() as connection:
        assert list(connection.execute(select(BULK.c.id)).scalars()) == [new.id]
    assert old.id != new.id
