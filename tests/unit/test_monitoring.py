"""How long a payment is watched: the end is set once, and nothing that happens meanwhile moves it."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from domain import schedule
from domain.decision import Stage
from domain.evidence import CalledBack, ClockRanOut, RateLimited, Seen, Unreadable
from domain.status import Status
from tests.unit.invoice_stories import HOUR, look, pending, story

DAY = 24 * HOUR


def until(world):
    """Seconds from now until the watch ends."""
    return (world.invoice.monitor_until - world.now).total_seconds()


def test_a_payment_that_is_replaced_and_confirms_again_is_watched_no_longer():
    world = pending()
    look(world, Status.CONFIRMING)
    assert until(world) == HOUR + DAY
    world.pass_time(600)
    look(world, Status.PENDING)
    look(world, Status.CONFIRMING)
    assert until(world) == world.due(Stage.CLOCK) == HOUR + DAY - 600


def test_an_invoice_that_expires_after_its_payment_was_replaced_is_watched_until_the_same_end():
    world = pending()
    look(world, Status.CONFIRMING)
    look(world, Status.PENDING)
    world.pass_time(HOUR)
    look(world, Status.EXPIRED)
    assert until(world) == world.due(Stage.CLOCK) == DAY


def test_a_provider_that_denies_a_confirming_payment_early_starts_no_new_watch():
    world = pending()
    look(world, Status.CONFIRMING)
    world.pass_time(HOUR / 2)
    look(world, Status.EXPIRED)
    assert until(world) == world.due(Stage.CLOCK) == HOUR / 2 + DAY


def test_a_late_payment_that_confirms_does_not_prolong_its_watch():
    world = pending()
    look(world, Status.EXPIRED)
    assert until(world) == DAY
    world.pass_time(DAY / 2)
    look(world, Status.CONFIRMING)
    assert until(world) == world.due(Stage.CLOCK) == DAY / 2


@pytest.mark.parametrize("can_be_asked", [True, False])
def test_an_invoice_that_expires_keeps_the_end_of_its_watch(can_be_asked):
    world = pending(can_be_asked=can_be_asked)
    world.pass_time(HOUR)
    if can_be_asked:
        world.take(ClockRanOut(), Stage.CLOCK)
        world.take(Unreadable(reason="no answer", asked_at=world.now), Stage.CHECK)
    else:
        world.take(ClockRanOut(), Stage.CLOCK)
    assert story(world) == ["pending", "expired"]
    assert until(world) == DAY


# ---------------------------------------------------------------- a look-up that is told to wait


def too_many(seconds):
    return RateLimited(reason="HTTP 429", retry_after_seconds=seconds)


def test_a_look_up_that_is_told_to_wait_waits_at_least_that_long():
    world = pending()
    world.take(too_many(300.0), Stage.CHECK)
    assert world.due(Stage.CHECK) == 300


def test_a_shorter_wait_than_the_next_look_up_s_changes_nothing():
    asked, silent = pending(), pending()
    asked.take(too_many(1.0), Stage.CHECK)
    silent.take(too_many(None), Stage.CHECK)
    assert asked.due(Stage.CHECK) == silent.due(Stage.CHECK) > 1


def test_a_wait_without_end_is_bounded():
    world = pending()
    world.take(too_many(1e9), Stage.CHECK)
    assert world.due(Stage.CHECK) == schedule.RETRY_AFTER_LIMIT.total_seconds()


def test_a_look_up_after_a_callback_waits_as_it_is_told_but_not_beyond_the_callback_s_grace():
    world = pending(callback_grace_minutes=Decimal(10))
    world.take(CalledBack(status=Status.PAID, word="PAID"))
    world.take(too_many(90.0), Stage.CHECK)
    assert world.due(Stage.CHECK) == 90
    world.take(too_many(HOUR), Stage.CHECK)
    assert world.due(Stage.CHECK) == 600


@pytest.mark.parametrize(
    ("answer", "seconds"),
    [(None, DAY), (Unreadable(reason="no answer"), DAY), (Seen(status=Status.CONFIRMING, word="Paying"), 0)],
)
def test_a_confirming_payment_is_watched_on_where_nobody_answered_the_last_look(answer, seconds):
    """An outage, or a restore of an old backup: the payment may have been confirmed meanwhile."""
    world = pending()
    look(world, Status.CONFIRMING)
    world.pass_time(HOUR + DAY)
    world.take(ClockRanOut(), Stage.CLOCK)
    if answer is None:
        world.pass_time(4 * world.policy.timeout_seconds)
        world.take(ClockRanOut(), Stage.CLOCK)
    else:
        world.take(replace(answer, asked_at=world.now), Stage.CHECK)

    assert story(world) == ["pending", "confirming", "expired"]
    assert max(0, until(world)) == seconds
    assert (Stage.CHECK in world.agenda) == (seconds > 0)


def test_what_was_confirmed_while_nobody_answered_is_paid_late():
    world = pending()
    look(world, Status.CONFIRMING)
    world.pass_time(HOUR + DAY)
    world.take(ClockRanOut(), Stage.CLOCK)
    world.take(Unreadable(reason="no answer", asked_at=world.now), Stage.CHECK)
    look(world, Status.PAID)

    assert story(world)[-1] == "paid"
    assert world.invoice.anomaly == "late"
