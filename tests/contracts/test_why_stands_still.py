"""When work stands still, and which processes are missed."""

from __future__ import annotations

from datetime import timedelta

import pytest

from domain.decision import Stage
from domain.evidence import RateLimited, SearchFailed
from domain.why import Cause, Verdict
from domain.why.patience import Pace
from tests.contracts import why_cases
from tests.contracts.store_cases import (
    ACCOUNT,
    SILENT_ACCOUNT,
    change,
    claim_one,
    created,
    judge,
    now,
    pend,
    queue,
    seen,
)
from tests.contracts.why_cases import MINUTE
from workers.store.processes import life
from workers.store.reads.processes import read_crew
from workers.store.reads.why.late import read_overview
from workers.store.tables import AGENDA, PROCESS

UNBOUNDED = Pace()


def read(database):
    """The processes that are known."""
    return database.read(read_crew, now(database))


@pytest.fixture
def look(database):
    return lambda pace=UNBOUNDED: database.read(read_overview, database, pace)


def test_without_workers_it_stands_still_though_nothing_waits(ground, look):
    ground.lose("worker", timedelta(hours=2))
    (found,) = look().late
    assert (found.cause, found.count, found.example) == (Cause.NO_WORKER, 1, None), "the role itself"
    assert now(ground.database) - found.oldest_since >= timedelta(hours=2)
    assert look().verdict is Verdict.STALLED


def test_workers_that_run_and_commit_nothing_while_work_waits_stand_still(ground, look):
    invoice = queue(ground.store)
    ground.overdue(invoice, 5 * MINUTE)
    assert look().verdict is Verdict.DEGRADED
    change(ground.database, PROCESS, moved_at=now(ground.database) - 2 * MINUTE)
    assert look().verdict is Verdict.STALLED
    judge(ground.store, invoice, created(), claim_one(ground.store, Stage.CREATE))
    ground.tell_stream()
    assert look().verdict is Verdict.OK


def stand(ground):
    """Workers run, and have committed nothing for two minutes."""
    change(ground.database, PROCESS, moved_at=now(ground.database) - 2 * MINUTE)


def test_while_a_provider_asks_to_wait_nothing_stands_still_though_its_other_orders_stay_due(ground, look):
    why_cases.put_off_by_the_provider(ground)
    ground.overdue(queue(ground.store), 5 * MINUTE)
    stand(ground)
    assert look().verdict is Verdict.DEGRADED
    change(ground.database, AGENDA, AGENDA.c.stage == Stage.CREATE.value, due_at=now(ground.database) - 2 * MINUTE)
    assert look().verdict is Verdict.STALLED


def test_a_429_at_a_look_up_excuses_its_account_s_creates_and_no_other_account_s(ground, look):
    (looked,) = pend(ground.store)
    ground.tell_stream()
    judge(ground.store, looked, RateLimited(reason="HTTP 429", retry_after_seconds=600))
    ground.overdue(queue(ground.store), 5 * MINUTE)
    stand(ground)
    assert look().verdict is Verdict.DEGRADED
    ground.overdue(queue(ground.store, account=SILENT_ACCOUNT), 5 * MINUTE)
    assert look().verdict is Verdict.STALLED


def test_a_429_at_the_look_up_of_an_expired_invoice_counts_too(ground, look):
    (closed,) = pend(ground.store)
    judge(ground.store, closed, seen("expired"))
    ground.tell_stream()
    ground.overdue(queue(ground.store), 5 * MINUTE)
    stand(ground)
    assert look().verdict is Verdict.STALLED
    judge(ground.store, closed, RateLimited(reason="HTTP 429", retry_after_seconds=600))
    assert look().verdict is Verdict.DEGRADED


def look_up_for_a_refund(ground):
    """Of a paid invoice, overdue: nothing that fails is kept of it."""
    invoice = why_cases.final(ground)
    row = {"stage": Stage.CHECK.value, "subject": invoice, "lane": ACCOUNT, "due_at": now(ground.database) - 5 * MINUTE}
    with ground.database.transaction() as connection:
        connection.execute(AGENDA.insert().values(row))


def search(ground):
    """For an order in doubt, overdue: a 429 there is a search that failed."""
    invoice = why_cases.in_doubt(ground)
    judge(ground.store, invoice, SearchFailed(reason="HTTP 429", retry_after_seconds=600))
    ground.overdue(invoice, 5 * MINUTE)


def look_up_of_an_open_invoice(ground):
    pend(ground.store)
    ground.tell_stream()
    late = now(ground.database) - 5 * MINUTE
    change(ground.database, AGENDA, AGENDA.c.stage == Stage.CHECK.value, due_at=late)


def create(ground):
    ground.overdue(queue(ground.store), 5 * MINUTE)


@pytest.mark.parametrize("work", [create, search, look_up_of_an_open_invoice, look_up_for_a_refund])
def test_while_an_account_rests_after_a_429_nothing_that_waits_for_it_stands_still(ground, look, work):
    work(ground)
    ground.rest(ACCOUNT)
    stand(ground)
    assert look().verdict is Verdict.DEGRADED
    ground.rest(ACCOUNT, 0)
    assert look().verdict is Verdict.STALLED


def test_what_waits_for_another_account_stands_still_while_one_rests(ground, look):
    create(ground)
    ground.rest(SILENT_ACCOUNT)
    stand(ground)
    assert look().verdict is Verdict.STALLED


def test_what_waits_for_a_slow_rate_does_not_stand_still_while_workers_ask_for_it(ground, look):
    ground.overdue(queue(ground.store), 5 * MINUTE)
    stand(ground)
    assert look(Pace(asked={(Stage.CREATE, ACCOUNT)})).verdict is Verdict.DEGRADED
    assert look(Pace(asked={(Stage.CHECK, ACCOUNT)})).verdict is Verdict.STALLED
    assert look().verdict is Verdict.STALLED


@pytest.mark.parametrize("role", ["intake", "web"])
def test_a_role_that_was_there_and_is_gone_is_missed(ground, look, role):
    ground.lose(role)
    assert look().verdict is Verdict.DEGRADED
    ground.beat(role)
    assert look().verdict is Verdict.OK


@pytest.mark.parametrize("role", ["intake", "web"])
def test_a_role_that_nobody_has_seen_for_a_day_was_taken_out_of_service(ground, look, role):
    ground.lose(role, timedelta(hours=23))
    assert look().verdict is Verdict.DEGRADED
    ground.lose(role, timedelta(hours=25))
    assert (look().verdict, look().late) == (Verdict.OK, [])


def test_workers_of_one_host_s_name_and_process_id_are_told_apart(ground, database):
    life.cache_clear()  # as another container's process has it
    ground.beat("worker", accounts=[SILENT_ACCOUNT])
    crew = read(database)
    assert len({one.name for one in crew.alive("worker")}) == 2
    assert crew.works_for(ACCOUNT)
    assert crew.works_for(SILENT_ACCOUNT)


def test_rows_of_processes_that_ended_go_but_for_their_role_s_newest(ground, database):
    ground.lose("intake", timedelta(hours=3))
    ground.lose("worker", timedelta(hours=2))
    life.cache_clear()
    ground.beat("worker")
    crew = read(database)
    assert [one.role for one in crew.processes if one.role == "worker"] == ["worker"]
    assert crew.gone(["intake"]) == ["intake"]


def test_a_worker_is_missed_for_good(ground, look):
    ground.lose("worker", timedelta(days=30))
    assert look().verdict is Verdict.STALLED


def test_without_beat_nothing_is_late(ground, look):
    ground.lose("beat")
    assert look().verdict is Verdict.OK
