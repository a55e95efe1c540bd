"""A watch for a late payment doesn't end while nobody answers: it goes on for a month at most, then that is told."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

from domain.decision import Stage
from domain.evidence import FAILED_LOOK_UP, CalledBack, ClockRanOut, RecheckRequested, Unreachable
from domain.lifecycle.clock import LONGEST_UNHEARD
from domain.status import Status
from tests.invoice_world import new_policy
from tests.unit.invoice_stories import HOUR, at_expiry, look, pending

MONTH = LONGEST_UNHEARD.total_seconds()


def expired(**policy):
    """On watch, and its last look-up brought no answer, as the store remembers it."""
    world = pending()
    if policy:
        world.policy = new_policy(**policy)
    look(world, Status.EXPIRED)
    world.take(Unreachable(reason="away"), held=Stage.CHECK)
    world.invoice.evidence_digest = f"{FAILED_LOOK_UP}0123"
    return world


def end_of_watch(world):
    world.pass_time(world.due(Stage.CLOCK))
    return world.take(ClockRanOut(), held=Stage.CLOCK)


def test_a_watch_ends_quietly_where_the_last_look_up_was_answered():
    world = expired()
    world.invoice.evidence_digest = None
    decision = end_of_watch(world)
    assert (decision.verdict, decision.note) == ("ignored", None)
    assert (world.due(Stage.CHECK), world.due(Stage.CLOCK)) == (None, None)


def test_a_watch_goes_on_sparsely_while_nobody_answers_and_a_late_payment_still_counts():
    world = expired()
    decision = end_of_watch(world)
    assert (decision.verdict, decision.note, decision.event) == ("noted", None, None)
    assert world.due(Stage.CHECK) == 0
    assert HOUR / 2 < world.due(Stage.CLOCK) < 2 * HOUR
    assert world.invoice.status == "expired"

    look(world, Status.PAID)
    assert (world.invoice.status, world.invoice.anomaly) == ("paid", "late")


def test_after_a_month_without_an_answer_it_is_told_that_nobody_knows():
    world, rounds = expired(), 0
    while (decision := end_of_watch(world)).note is None:
        rounds += 1
        assert rounds < 1000
    assert decision.verdict == "noted"
    assert decision.note.startswith("unwatched: ")
    assert "invoices recheck" in decision.note
    assert timedelta(0) <= world.now - world.invoice.updated_at - timedelta(seconds=MONTH) <= timedelta(hours=2)
    assert (world.due(Stage.CHECK), world.due(Stage.CLOCK)) == (None, None)

    world.take(RecheckRequested(by="me", reason="it is back"))
    assert look(world, Status.PAID).verdict == "contradiction"  # told; a person marks it


def test_a_watch_in_which_no_look_up_was_made_goes_on_where_the_one_at_the_expiry_was_not_answered():
    world = at_expiry(monitor_minutes=Decimal(1))
    world.pass_time(world.due(Stage.CLOCK))
    world.take(ClockRanOut(), held=Stage.CLOCK)
    assert world.invoice.status == "expired"
    assert end_of_watch(world).verdict == "noted"
    assert world.due(Stage.CHECK) == 0


def test_a_watch_whose_end_nobody_was_there_for_is_ended_by_one_more_look_up():
    world = expired()
    world.invoice.evidence_digest = None
    world.pass_time(2 * HOUR)
    assert end_of_watch(world).verdict == "ignored", "that end was met"

    world = expired()
    world.invoice.evidence_digest = None
    world.pass_time(world.due(Stage.CLOCK) + HOUR)
    assert world.take(ClockRanOut(), held=Stage.CLOCK).verdict == "noted"
    assert (world.due(Stage.CHECK), world.invoice.evidence_digest) == (0, FAILED_LOOK_UP)
    world.invoice.evidence_digest = None  # the store's part of an answer that brings nothing new
    assert end_of_watch(world).verdict == "ignored"


def called(world):
    """A callback that may be about another invoice of the order."""
    world.take(CalledBack(status=Status.PAID, word="Paid", only=False, asked_at=world.now))
    return world


def test_what_may_be_another_ones_is_looked_into_once_more_where_nobody_worked_since_it_came():
    world = called(expired())
    world.invoice.evidence_digest = None
    world.pass_time(world.due(Stage.CLOCK) + HOUR)
    decision = world.take(ClockRanOut(), held=Stage.CLOCK)
    assert (decision.verdict, decision.gives_back, world.due(Stage.CHECK)) == ("noted", False, 0)
    assert world.invoice.evidence_digest == FAILED_LOOK_UP, "until it is answered"

    look(world, Status.PAID)
    assert (world.invoice.status, world.given_back) == ("paid", 0)


def test_giving_back_a_callback_does_not_end_a_watch_in_which_nobody_answers():
    world = called(expired())
    world.pass_time(world.due(Stage.CLOCK))
    decision = world.take(ClockRanOut(), held=Stage.CLOCK)
    assert (decision.gives_back, world.invoice.called_status, world.due(Stage.CHECK)) == (True, None, 0)
    assert world.due(Stage.CLOCK) > 0

    look(world, Status.PAID)
    assert (world.invoice.status, world.invoice.anomaly) == ("paid", "late")


def test_giving_back_a_callback_ends_a_watch_whose_last_look_up_was_answered():
    world = called(expired())
    world.invoice.evidence_digest = None
    decision = end_of_watch(world)
    assert (decision.gives_back, world.agenda) == (True, {})
