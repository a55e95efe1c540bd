"""Callbacks of a payment about the end of an invoice's time, and after it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from domain.decision import Stage
from domain.evidence import CancelRequested, ClockRanOut, RecheckRequested, Unreachable
from domain.status import Status
from tests.unit.called_back_cases import CODE, called, made, verified


def expired(**given):
    """Its time ran out; the last look, after a callback, found it pending."""
    world = made(**given)
    world.take(called("PENDING", Status.PENDING))
    world.pass_time(3600)
    world.take(ClockRanOut(), held=Stage.CLOCK)
    world.take(verified("PENDING", Status.PENDING, asked_at=world.now), held=Stage.CHECK)
    return world


def test_a_part_that_is_seen_only_after_the_expiry_is_told_once_and_the_rest_is_waited_for():
    world = expired()
    part = verified("PARTIAL", Status.PARTIALLY_PAID, paid_amount=Decimal("0.0001"))

    first = world.take(part, held=Stage.CHECK)

    assert (first.verdict, first.note) == ("contradiction", "late_payment: the provider says PARTIAL, after it expired")
    assert (world.invoice.status, world.invoice.anomaly) == ("expired", "underpaid")
    assert world.invoice.paid_amount == Decimal("0.0001")
    assert world.take(part, held=Stage.CHECK).verdict == "noted"
    assert world.take(verified(), held=Stage.CHECK).event == "invoice.paid"
    assert world.invoice.anomaly == "late"


def test_a_part_that_a_callback_told_in_time_may_be_confirmed_after_the_expiry_and_is_then_no_open_claim():
    world = made()
    world.take(called("PARTIAL", Status.PARTIALLY_PAID))
    world.pass_time(3600)
    world.take(ClockRanOut(), held=Stage.CLOCK)
    world.pass_time(30)
    world.take(ClockRanOut(), held=Stage.CLOCK)  # nobody answered
    assert (world.invoice.status, world.invoice.anomaly) == ("expired", None)
    part = verified("PARTIAL", Status.PARTIALLY_PAID, paid_amount=Decimal("0.0001"))

    assert world.take(part, held=Stage.CHECK).verdict == "contradiction"
    assert (world.invoice.anomaly, world.invoice.called_status) == ("underpaid", None)
    verdicts = set()
    while world.agenda:
        world.pass_time(3600)
        verdicts.add(world.take(part, held=Stage.CHECK).verdict)
        verdicts.add(world.take(ClockRanOut(), held=Stage.CLOCK).verdict)
    assert "contradiction" not in verdicts


def test_an_invoice_that_expires_while_a_callback_waits_to_be_confirmed_is_looked_at_soon():
    world = made(policy={"poll_seconds": 3600.0})
    world.take(called())
    world.pass_time(3600)
    world.take(ClockRanOut(), held=Stage.CLOCK)
    world.take(verified("PENDING", Status.PENDING, asked_at=world.now), held=Stage.CHECK)

    assert world.invoice.status == "expired"
    assert world.due(Stage.CHECK) == 1
    assert world.take(verified(), held=Stage.CHECK).event == "invoice.paid"


def test_a_payment_that_a_callback_told_in_time_is_not_held_though_the_look_ups_failed():
    world = made(policy={"callback_grace_minutes": Decimal(10)})
    world.pass_time(3600 - 60)
    world.take(called())
    world.pass_time(61)
    world.take(ClockRanOut(), held=Stage.CLOCK)
    world.pass_time(11)
    world.take(ClockRanOut(), held=Stage.CLOCK)
    assert world.invoice.status == "expired"
    world.now += timedelta(minutes=10)

    assert world.take(Unreachable(reason="away"), held=Stage.CHECK).event == "invoice.paid"
    assert world.invoice.anomaly == "late"  # whatever leaves `expired` is


def test_a_callback_that_came_while_somebody_watched_counts_though_it_is_judged_late():
    world = expired(policy={"monitor_minutes": Decimal(10)})
    assert world.invoice.status == "expired"
    came = world.now + timedelta(minutes=9)
    world.pass_time(10 * 60)
    world.take(ClockRanOut(), held=Stage.CLOCK)
    world.pass_time(5 * 60)

    assert world.take(replace(called(), asked_at=world.now)).verdict == "contradiction"  # this one came too late
    assert world.take(replace(called(), asked_at=came)).verdict == "noted"
    assert world.due(Stage.CHECK) == 0
    assert world.take(verified(), held=Stage.CHECK).event == "invoice.paid"
    assert world.invoice.anomaly == "late"


def test_late_goes_before_too_much():
    world = expired()
    world.take(verified(paid_amount=Decimal(11), pay_amount=Decimal(10)), held=Stage.CHECK)
    assert (world.invoice.status, world.invoice.anomaly) == ("paid", "late")


def test_the_watch_does_not_end_before_a_callback_could_be_looked_into():
    """Workers died with the look-ups, say."""
    world = expired(policy={"monitor_minutes": Decimal(10)})
    world.pass_time(9 * 60)
    world.take(called())
    world.pass_time(60)
    world.take(ClockRanOut(), held=Stage.CLOCK)

    assert (world.invoice.status, world.due(Stage.CHECK)) == ("expired", 0)
    assert world.take(verified(), held=Stage.CHECK).event == "invoice.paid"


def test_the_look_up_counts_though_the_clock_is_late_to_prolong_the_watch():
    world = expired(policy={"monitor_minutes": Decimal(10)})
    world.pass_time(9 * 60)
    world.take(called())
    world.pass_time(120)  # the watch is over, and nobody has said so

    assert world.take(verified(), held=Stage.CHECK).event == "invoice.paid"


def cancelled():
    """Before any callback came: nobody knows what to ask by."""
    world = made()
    world.take(CancelRequested(reason="gone"))
    return world


@pytest.mark.parametrize(("word", "verdict"), [(Status.PAID, "contradiction"), (Status.PENDING, "noted")])
def test_what_to_ask_by_is_learnt_from_a_callback_that_came_after_the_end(word, verdict):
    world = cancelled()
    assert world.take(RecheckRequested(reason="x", by="bob")).verdict == "ignored"

    assert world.take(called(word.value, word)).verdict == verdict
    assert (world.invoice.status, world.invoice.asked_by, world.due(Stage.CHECK)) == ("cancelled", f'["{CODE}"]', None)
    assert world.take(RecheckRequested(reason="x", by="bob")).verdict == "noted"
    assert world.due(Stage.CHECK) == 0
    assert world.take(verified(), held=Stage.CHECK).verdict == "contradiction"
    assert (world.invoice.status, world.due(Stage.CHECK)) == ("cancelled", None)


def test_nothing_is_learnt_from_a_callback_that_may_be_about_another_invoice_of_the_order():
    world = cancelled()
    assert world.take(called(only=False)).verdict == "contradiction"
    assert world.invoice.asked_by is None
