"""The database's clock is set back: nothing waits for the time that it showed before."""

from __future__ import annotations

import contextlib
from datetime import timedelta

import pytest
import structlog

from domain.decision import Stage
from domain.evidence import ClockRanOut
from tests.contracts.clock_step_cases import HOUR, LEASE, STREAM, in_seconds, keeper_of, wait_of
from tests.contracts.store_cases import (
    ACCOUNT,
    agenda_of,
    change,
    claim_one,
    deliveries_of,
    invoice_of,
    judge,
    make_due,
    now,
    open_store,
    pend,
    queue,
    rows,
    subscribe,
)
from workers.store import step_repair, timekeeper
from workers.store.agenda import CLOCK_LANE, PUBLISH_LANE, RETAIN_LANE
from workers.store.deliveries import DeliveryAttempt
from workers.store.tables import AGENDA, CLOCK


def test_what_was_planned_by_a_clock_ahead_is_due_within_its_own_wait_once_it_is_right(stepped):
    """600 s ahead, then right: look-ups, retries of creates and webhooks, the stream, and a lease that nobody ends."""
    database, clock = stepped
    worker = open_store(database)
    endpoint_id = subscribe(database)
    worker.add_standing()
    clock.set_ahead(600)
    keeper = worker.timekeeper()
    keeper.look()
    paid, lost = pend(worker, expires_at=now(database) + timedelta(hours=9))[0], queue(worker)
    (delivery,) = worker.claim_deliveries(endpoint_id, 10, LEASE)
    worker.settle([DeliveryAttempt(delivery, "failed", "HTTP 503", 503, 7, b"busy", 30.0)])
    claim_one(worker, Stage.CREATE, lease_seconds=LEASE)
    (publisher,) = worker.publishing.claim_publisher(1, 10.0)
    worker.finish(publisher, 1.0)

    clock.set_ahead(0)
    with structlog.testing.capture_logs() as logged:
        keeper.look()
        keeper.look()

    assert [line["by_seconds"] for line in logged if line["event"] == "clock.stepped"] == [pytest.approx(-600, abs=30)]
    assert wait_of(database, paid, "check") < 40
    assert wait_of(database, lost, "create") < LEASE + 1
    assert wait_of(database, f"{endpoint_id}/{paid}", "deliver") < 31
    assert (deliveries_of(database, paid)[0].next_try_at - now(database)).total_seconds() < 31
    assert wait_of(database, PUBLISH_LANE, "publish") < 2
    assert wait_of(database, paid, "clock") == pytest.approx(9 * HOUR + 600, abs=60), "the provider's word stays"


def test_twenty_events_are_told_after_a_step_back(stepped):
    database, clock = stepped
    worker = open_store(database)
    worker.add_standing()
    clock.set_ahead(600)
    worker.timekeeper().look()
    pend(worker)
    (publisher,) = worker.publishing.claim_publisher(1, 10.0)
    clock.set_ahead(0)
    pend(worker, 20)
    worker.finish(publisher, 0.0)

    keeper_of(database).look()  # any worker's, one that has just started as well
    (after,) = worker.publishing.claim_publisher(1, 10.0)
    events = worker.publishing.unpublished(100)
    worker.publishing.mark_published([event.number for event in events])

    assert after.fence > publisher.fence
    assert len(events) == 21
    assert worker.publishing.claim_publisher(1, 10.0) == []


def test_a_step_back_that_nobody_saw_is_told_by_what_lies_too_far_away(stepped):
    """Nothing was running, or a release that did not look: what is further away than any wait is due."""
    database, _ = stepped
    worker = open_store(database)
    endpoint_id = subscribe(database)
    worker.add_standing()
    (invoice_id,) = pend(worker)
    far = now(database) + timedelta(days=400)
    change(database, AGENDA, due_at=far)

    lanes = [STREAM, (Stage.RETAIN, RETAIN_LANE), (Stage.CHECK, ACCOUNT), (Stage.DELIVER, endpoint_id)]
    found = {due.lane: due.in_seconds for due in worker.next_due([*lanes, (Stage.CLOCK, CLOCK_LANE)])}

    assert found.pop(CLOCK_LANE) > 399 * 86_400
    assert len(found) == 4
    assert all(seconds <= 0 for seconds in found.values())
    assert agenda_of(database, invoice_id)["clock"].due_at == far
    assert len(worker.publishing.claim_publisher(1, 10.0)) == 1
    assert claim_one(worker, Stage.CHECK).subject == invoice_id


def test_the_streams_row_is_never_minutes_away(stepped):
    database, _ = stepped
    worker = open_store(database)
    worker.add_standing()
    pend(worker)
    change(database, AGENDA, AGENDA.c.stage == "publish", due_at=now(database) + timedelta(seconds=600))

    assert [seconds <= 0 for seconds in in_seconds(database, STREAM)] == [True]
    assert len(worker.publishing.claim_publisher(1, 10.0)) == 1


def test_pages_are_moved_once_each_though_who_moves_them_dies_in_between(stepped, monkeypatch):
    database, clock = stepped
    monkeypatch.setattr(step_repair, "PAGE", 3)
    monkeypatch.setattr(timekeeper, "PAGES", 1)
    worker = open_store(database)
    clock.set_ahead(HOUR)
    keeper_of(database).look()
    pend(worker, 8, expires_at=now(database) + timedelta(days=2))
    before = {row.subject: row.due_at for row in rows(database, AGENDA, AGENDA.c.stage == "check")}
    change(database, AGENDA, AGENDA.c.stage == "check", due_at=now(database) + timedelta(seconds=2 * HOUR))
    clock.set_ahead(0)
    move = step_repair.move_page
    deaths = iter([False, True, False, True, True])

    def die(*arguments):
        moved = move(*arguments)
        if next(deaths, False):
            raise KeyboardInterrupt
        return moved

    monkeypatch.setattr(timekeeper, "move_page", die)
    for _ in range(12):
        with contextlib.suppress(KeyboardInterrupt):
            keeper_of(database).look()

    waits = [wait_of(database, subject, "check") for subject in before]
    assert waits == [pytest.approx(2 * HOUR, abs=60)] * 8
    assert rows(database, CLOCK)[0].moving_by is None


def test_an_invoice_is_asked_about_again_when_its_last_look_was_by_a_clock_ahead(stepped):
    database, clock = stepped
    worker = open_store(database)
    (invoice_id,) = pend(worker, expires_at=now(database) + timedelta(seconds=300))
    clock.set_ahead(600)
    make_due(database, invoice_id, Stage.CLOCK)
    claim = claim_one(worker, Stage.CLOCK, CLOCK_LANE)
    judge(worker, invoice_id, ClockRanOut(), claim)
    assert invoice_of(database, invoice_id).final_look_at > now(database) - timedelta(seconds=60)

    clock.set_ahead(0)
    change(database, AGENDA, AGENDA.c.stage == "clock", due_at=now(database))
    claim = claim_one(worker, Stage.CLOCK, CLOCK_LANE)
    judge(worker, invoice_id, ClockRanOut(), claim)

    assert invoice_of(database, invoice_id).status == "pending", "it is not over yet"
    assert wait_of(database, invoice_id, "clock") == pytest.approx(300, abs=60)
