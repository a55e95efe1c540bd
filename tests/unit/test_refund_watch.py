"""Paid invoices are looked at while a refund can come: seldom, ever less often, and no longer than that."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest

from domain.decision import Stage
from domain.evidence import CancelRequested, ClockRanOut, Seen, Unreachable
from domain.status import Status
from tests.payment_world import mark
from tests.unit.invoice_stories import HOUR, look, pending, story

DAY = 24 * HOUR
REFUNDED = Seen(status=Status.REFUNDED, word="Refunded")
AWAY = Unreachable(reason="connection refused")


def paid(days=30, **policy):
    world = pending(refund_watch_days=Decimal(days), **policy)
    look(world, Status.PAID)
    return world


def looks(world, answer):
    """Days after the payment at which a look was ordered, until nothing is due any more."""
    began, at = world.now, []
    while world.agenda:
        stage, row = min(world.agenda.items(), key=lambda item: (item[1].due_at, item[0]))
        world.now = max(world.now, row.due_at)
        if stage is Stage.CLOCK:
            world.take(ClockRanOut(), Stage.CLOCK)
        else:
            at.append((world.now - began) / timedelta(days=1))
            world.take(answer(world), Stage.CHECK)
        assert len(at) < 100
    return at


def still_paid(world):
    return Seen(status=Status.PAID, word="Paid", asked_at=world.now)


def test_a_refund_is_noticed_at_the_next_look():
    world = paid()
    assert (world.due(Stage.CHECK), world.due(Stage.CLOCK)) == (None, 6 * HOUR)
    world.pass_time(6 * HOUR)
    world.take(ClockRanOut(), Stage.CLOCK)
    assert world.due(Stage.CHECK) == 0
    world.take(REFUNDED, Stage.CHECK)
    assert world.invoice.status == "refunded"
    assert story(world) == ["pending", "paid", "refunded"]
    assert world.agenda == {}


def test_looks_grow_further_apart_and_end_with_the_watch():
    at = looks(paid(), still_paid)
    assert at == [0.25, 0.5, 1, 2, 4, 8, 15, 22, 29, 30]


@pytest.mark.parametrize(("days", "expected"), [("0.125", [0.125]), (1, [0.25, 0.5, 1]), (0, [])])
def test_the_watch_is_as_long_as_the_account_says(days, expected):
    assert looks(paid(days), still_paid) == expected


def test_between_its_looks_a_paid_invoice_is_not_among_the_look_ups():
    world = paid()
    for _ in range(5):
        assert Stage.CHECK not in world.agenda
        world.now = world.agenda[Stage.CLOCK].due_at
        world.take(ClockRanOut(), Stage.CLOCK)
        world.take(still_paid(world), Stage.CHECK)
    assert story(world) == ["pending", "paid"]


def test_a_look_without_an_answer_is_repeated_an_hour_later_and_not_for_ever():
    world = paid(1)
    world.pass_time(6 * HOUR)
    world.take(ClockRanOut(), Stage.CLOCK)
    decision = world.take(AWAY, Stage.CHECK)
    assert (decision.verdict, world.due(Stage.CHECK)) == ("ignored", HOUR)
    assert max(looks(world, lambda _: AWAY)) <= 1.1


def test_no_watch_is_none_on_a_clock_that_is_set_back_either():
    world = paid(0)
    world.pass_time(-2)
    world.take(AWAY)
    assert world.agenda == {}


def test_what_contradicts_the_payment_does_not_end_the_watch():
    world = paid()
    world.take(CancelRequested(reason="too late"))
    look(world, Status.EXPIRED)
    assert world.invoice.status == "paid"
    assert world.due(Stage.CLOCK) == 6 * HOUR


def test_a_payment_that_only_a_person_tells_of_is_not_looked_at():
    world = pending(refund_watch_days=Decimal(30))
    world.take(mark(Status.PAID))
    assert world.agenda == {}


def test_a_late_payment_is_watched_for_its_refund_too():
    world = pending(refund_watch_days=Decimal(30))
    world.pass_time(HOUR)
    for _ in range(2):
        world.take(ClockRanOut(), Stage.CLOCK)
        world.pass_time(10)
    look(world, Status.PAID)
    assert (world.invoice.anomaly, world.due(Stage.CLOCK)) == ("late", 6 * HOUR)
    world.take(REFUNDED, Stage.CHECK)
    assert (world.invoice.status, world.invoice.anomaly) == ("refunded", "late")


def test_where_the_provider_can_not_be_asked_nothing_is_due():
    world = pending(can_be_asked=False, refund_watch_days=Decimal(30))
    world.take(Seen(status=Status.PAID, word="Paid"))
    assert world.agenda == {}
