"""The database's clock is set while work is under way: nobody loses a lease by it, and nothing waits for longer."""

from __future__ import annotations

from datetime import timedelta

import pytest
import structlog

from domain.decision import Stage
from domain.timekeeping import PATIENCE_SECONDS, TRUSTED_SECONDS
from tests.contracts.clock_step_cases import HOUR, LEASE, keeper_of, wait_of
from tests.contracts.store_cases import (
    ACCOUNT,
    agenda_of,
    change,
    claim_one,
    created,
    invoice_of,
    judge,
    make_due,
    now,
    open_store,
    queue,
    rows,
)
from workers.store import leases, timekeeper
from workers.store.tables import CLOCK


@pytest.fixture
def seconds(monkeypatch):
    """What keepers count by, moved by hand: ``seconds[0]``."""
    counted = [1000.0]
    monkeypatch.setattr(timekeeper, "lease_clock", lambda: counted[0])
    return counted


def test_a_clock_that_is_set_ahead_takes_no_call_from_who_is_making_it(stepped):
    database, clock = stepped
    mine, others = open_store(database), open_store(database)
    keeper = mine.timekeeper()
    keeper.look()
    invoice_id = queue(mine)
    held = claim_one(mine, Stage.CREATE, lease_seconds=LEASE)

    clock.set_ahead(HOUR)
    assert others.claim(Stage.CREATE, ACCOUNT, 10, LEASE) == []
    keeper.look()
    assert others.claim(Stage.CREATE, ACCOUNT, 10, LEASE) == []
    assert 0 < wait_of(database, invoice_id, "create") < LEASE + 2

    assert judge(mine, invoice_id, created(), held).status == "pending"
    assert invoice_of(database, invoice_id).doubts == 0


def test_what_nobody_holds_is_done_all_the_same_while_nobody_trusts_the_clock(stepped):
    database, clock = stepped
    worker = open_store(database)
    worker.timekeeper().look()
    held = queue(worker)
    claim_one(worker, Stage.CREATE, lease_seconds=LEASE)
    clock.set_ahead(HOUR)
    free = queue(worker)

    assert [claim.subject for claim in worker.claim(Stage.CREATE, ACCOUNT, 10, LEASE)] == [free]
    assert agenda_of(database, held)["create"].claims == 1


def test_a_worker_that_is_lost_is_followed_as_soon_as_its_lease_is_over(stepped):
    database, _ = stepped
    worker = open_store(database)
    worker.timekeeper().look()
    invoice_id = queue(worker)
    claim_one(worker, Stage.CREATE, lease_seconds=0)

    assert [(claim.subject, claim.lost) for claim in worker.claim(Stage.CREATE, ACCOUNT, 10, LEASE)] == [
        (invoice_id, True)
    ]


def test_leases_that_were_over_before_the_step_stay_over(stepped):
    database, clock = stepped
    worker = open_store(database)
    keeper = worker.timekeeper()
    keeper.look()
    invoice_id = queue(worker)
    claim_one(worker, Stage.CREATE, lease_seconds=LEASE)
    make_due(database, invoice_id)

    clock.set_ahead(HOUR)
    keeper.look()

    assert claim_one(worker, Stage.CREATE).lost


def test_who_starts_right_after_the_step_waits_for_those_who_counted(stepped, seconds):
    database, clock = stepped
    worker = open_store(database)
    running = worker.timekeeper()
    running.look()
    queue(worker)
    claim_one(worker, Stage.CREATE, lease_seconds=LEASE)
    clock.set_ahead(HOUR)

    new = keeper_of(database)
    new.look()
    assert worker.claim(Stage.CREATE, ACCOUNT, 10, LEASE) == []
    running.look()
    new.look()
    seconds[0] += PATIENCE_SECONDS + 1
    new.look()
    assert worker.claim(Stage.CREATE, ACCOUNT, 10, LEASE) == []


def test_after_an_outage_of_everybody_lost_leases_wait_for_three_seconds_at_most(stepped, seconds):
    database, _ = stepped
    worker = open_store(database)
    worker.timekeeper().look()
    queue(worker)
    claim_one(worker, Stage.CREATE, lease_seconds=0)
    change(database, CLOCK, seen_at=now(database) - timedelta(seconds=600))

    new = keeper_of(database)
    new.look()
    assert worker.claim(Stage.CREATE, ACCOUNT, 10, LEASE) == []
    seconds[0] += PATIENCE_SECONDS
    new.look()
    assert claim_one(worker, Stage.CREATE).lost


def test_a_clock_that_nobody_looks_at_holds_lost_rows_up_for_a_minute_at_most(stepped, monkeypatch):
    database, _ = stepped
    counted = [5000.0]
    monkeypatch.setattr(leases, "lease_clock", lambda: counted[0])
    worker = open_store(database)
    worker.timekeeper().look()
    queue(worker)
    claim_one(worker, Stage.CREATE, lease_seconds=0)
    change(database, CLOCK, seen_at=now(database) - timedelta(seconds=TRUSTED_SECONDS + 5))

    while not (found := worker.claim(Stage.CREATE, ACCOUNT, 10, LEASE)):
        assert counted[0] < 5000.0 + leases.DOUBT_SECONDS
        counted[0] += 1.0
    assert found[0].lost


def test_a_host_whose_clock_is_off_says_so_once(stepped):
    database, clock = stepped
    clock.set_ahead(-60)
    keeper = keeper_of(database)
    with structlog.testing.capture_logs() as logged:
        for _ in range(3):
            keeper.look()

    assert [line["host_ahead_seconds"] for line in logged if line["event"] == "clock.skew"] == [
        pytest.approx(60, abs=30)
    ]


def test_a_clock_that_goes_right_is_written_down_seldom_and_says_nothing(stepped):
    database, _ = stepped
    keepers = [keeper_of(database) for _ in range(3)]
    with structlog.testing.capture_logs() as logged:
        for keeper in keepers * 3:
            keeper.look()

    assert logged == []
    (row,) = rows(database, CLOCK)
    assert (row.stepped_at, row.moving_by) == (None, None)
