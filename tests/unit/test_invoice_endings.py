"""How an invoice ends: it runs out, is paid late, is given up; and what is said against one that has ended."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest

from domain import evidence as said
from domain.against import CONTRADICTION
from domain.decision import Stage
from domain.evidence import CancelRequested, ClockRanOut, Seen
from domain.status import Anomaly, Status
from tests.invoice_world import Row, World, new_invoice, new_policy
from tests.unit.invoice_stories import (
    HOUR,
    MADE,
    REFUSED_KEY,
    UNREACHABLE,
    at_expiry,
    look,
    pending,
    story,
)

# ---------------------------------------------------------------- expiry


def test_an_invoice_nobody_can_be_asked_about_expires_at_its_time_and_not_before():
    world = pending(can_be_asked=False)
    world.pass_time(HOUR - 0.000001)
    assert world.take(ClockRanOut(), Stage.CLOCK).verdict == "ignored"
    assert world.due(Stage.CLOCK) == pytest.approx(0.000001)
    world.pass_time(0.000001)
    world.take(ClockRanOut(), Stage.CLOCK)
    assert (world.invoice.status, world.invoice.reason) == ("expired", "expires_at has passed")
    assert world.agenda == {}


def test_a_provider_that_can_be_asked_is_asked_once_more_first():
    world = at_expiry()
    assert world.invoice.status == "pending"
    assert world.due(Stage.CHECK) == 0
    assert world.due(Stage.CLOCK) == 10  # timeout_seconds


@pytest.mark.parametrize(
    ("found", "status", "anomaly"),
    [
        (Status.PAID, "paid", None),
        (Status.CONFIRMING, "confirming", None),
        (Status.PENDING, "expired", None),
        (Status.PARTIALLY_PAID, "expired", "underpaid"),
        (Status.EXPIRED, "expired", None),
        (None, "expired", None),
    ],
)
def test_the_last_look_decides(found, status, anomaly):
    world = at_expiry()
    look(world, found)
    assert (world.invoice.status, world.invoice.anomaly) == (status, anomaly)


@pytest.mark.parametrize(
    "answer", [UNREACHABLE, REFUSED_KEY, said.Unreadable(reason="HTML"), said.RateLimited(reason="HTTP 429")]
)
def test_a_last_look_that_brings_no_answer_expires_the_invoice(answer):
    world = at_expiry()
    world.take(type(answer)(reason=answer.reason, asked_at=world.now), Stage.CHECK)
    assert world.invoice.status == "expired"


def test_a_last_look_that_never_returns_is_waited_for_no_longer_than_one_time_out():
    world = at_expiry()
    world.pass_time(9.999)
    world.take(ClockRanOut(), Stage.CLOCK)
    assert world.invoice.status == "pending"
    world.pass_time(0.001)
    world.take(ClockRanOut(), Stage.CLOCK)
    assert world.invoice.status == "expired"


@pytest.mark.parametrize("fell_back", [False, True])
def test_a_look_up_that_was_under_way_at_expiry_is_not_the_last_one(fell_back):
    world = pending()
    if fell_back:
        look(world, Status.CONFIRMING)
        look(world, Status.PENDING)
    world.agenda[Stage.CHECK] = Row(world.now, leased=True)
    asked_at = world.now + timedelta(seconds=HOUR - 1)
    world.pass_time(HOUR)
    world.take(ClockRanOut(), Stage.CLOCK)  # can't move the row that is held
    world.take(Seen(status=Status.PENDING, word="Waiting", asked_at=asked_at), Stage.CHECK)
    assert world.invoice.status == "pending"
    assert world.due(Stage.CHECK) == 1


def test_a_provider_that_says_expired_earlier_is_believed():
    world = pending()
    look(world, Status.EXPIRED, anomaly=Anomaly.UNDERPAID, paid_amount=Decimal("0.010"))
    assert (world.invoice.status, world.invoice.anomaly) == ("expired", "underpaid")
    assert str(world.invoice.paid_amount) == "0.010"


def test_a_partial_payment_at_expiry_is_underpaid():
    world = pending(can_be_asked=False)
    world.take(Seen(status=Status.PARTIALLY_PAID, word="PARTIAL", paid_amount=Decimal(1)))
    world.pass_time(HOUR)
    world.take(ClockRanOut(), Stage.CLOCK)
    assert (world.invoice.status, world.invoice.anomaly) == ("expired", "underpaid")


def test_a_confirming_payment_expires_only_when_its_monitoring_ends():
    world = pending()
    look(world, Status.CONFIRMING)
    world.pass_time(HOUR + 86_399)
    look(world, Status.CONFIRMING)
    world.take(ClockRanOut(), Stage.CLOCK)
    assert world.invoice.status == "confirming"
    world.pass_time(1)
    world.take(ClockRanOut(), Stage.CLOCK)
    assert (world.invoice.status, world.due(Stage.CHECK)) == ("confirming", 0)
    look(world, Status.CONFIRMING)
    assert (world.invoice.status, world.invoice.reason) == ("expired", "the payment was never confirmed")
    assert world.agenda == {}


def test_a_confirming_payment_that_nobody_looked_at_for_long_is_looked_at_once_more_before_it_expires():
    """Its look-ups may have been parked, or the provider away, since the payment was confirmed."""
    world = pending()
    look(world, Status.CONFIRMING)
    world.agenda[Stage.CHECK] = Row(world.now + timedelta(days=9))
    world.pass_time(HOUR + 86_400)
    world.take(ClockRanOut(), Stage.CLOCK)
    look(world, Status.PAID)
    assert world.invoice.status == "paid"


def test_a_confirming_payment_whose_last_look_never_returns_is_waited_for_as_long_as_a_look_up_may_take():
    world = pending()
    look(world, Status.CONFIRMING)
    world.pass_time(HOUR + 86_400)
    world.take(ClockRanOut(), Stage.CLOCK)
    world.pass_time(39.999)
    world.take(ClockRanOut(), Stage.CLOCK)
    assert world.invoice.status == "confirming"
    world.pass_time(0.001)
    world.take(ClockRanOut(), Stage.CLOCK)
    assert (world.invoice.status, world.invoice.reason) == ("expired", "the payment was never confirmed")


def test_a_confirming_payment_of_a_provider_that_can_not_be_asked_expires_at_once():
    world = pending(can_be_asked=False)
    world.take(Seen(status=Status.CONFIRMING, word="CONFIRMING"))
    world.pass_time(HOUR + 86_400)
    world.take(ClockRanOut(), Stage.CLOCK)
    assert (world.invoice.status, world.invoice.reason) == ("expired", "the payment was never confirmed")


# ---------------------------------------------------------------- late


def expired(**policy):
    world = at_expiry(**policy)
    look(world, Status.PENDING)
    assert world.invoice.status == "expired"
    return world


def test_an_expired_invoice_is_watched_for_a_late_payment_but_not_often():
    world = expired()
    assert world.due(Stage.CHECK) == 300
    assert world.due(Stage.CLOCK) == 86_400
    assert look(world, Status.PENDING).verdict == "noted"
    assert world.invoice.status == "expired"


@pytest.mark.parametrize(("poll_seconds", "wait"), [(2.0, 20), (30.0, 300), (60.0, 300), (900.0, 900)])
def test_the_watch_for_a_late_payment_follows_the_account_s_own_cadence(poll_seconds, wait):
    assert expired(poll_seconds=poll_seconds).due(Stage.CHECK) == wait


def test_the_last_look_for_a_late_payment_is_early_enough_to_count():
    world = expired(monitor_minutes=Decimal(2))
    assert world.due(Stage.CHECK) == 120 - 11  # a time-out and a second before the monitoring ends
    world.pass_time(119)
    assert look(world, Status.PAID).verdict == "applied"
    assert (world.invoice.status, world.invoice.anomaly) == ("paid", "late")


@pytest.mark.parametrize("on_the_way", [[], [Status.CONFIRMING], [Status.CONFIRMING, Status.PENDING]])
def test_a_payment_within_the_monitoring_time_is_late(on_the_way):
    world = expired()
    for status in [*on_the_way, Status.PAID]:
        look(world, status)
        assert world.invoice.anomaly == "late"
    assert story(world) == ["pending", "expired", *on_the_way, "paid"]
    assert world.agenda == {}


def test_a_late_payment_does_not_reopen_the_order():
    world = expired()
    look(world, Status.CONFIRMING)
    assert world.invoice.first_open == 0


def test_a_late_payment_that_is_never_confirmed_expires_again_when_monitoring_ends():
    world = expired()
    look(world, Status.CONFIRMING)
    world.pass_time(86_400)
    world.take(ClockRanOut(), Stage.CLOCK)
    assert (world.invoice.status, world.due(Stage.CHECK)) == ("confirming", 0)
    look(world, Status.CONFIRMING)
    assert world.invoice.status == "expired"
    assert world.agenda == {}


@pytest.mark.parametrize("found", [Status.PAID, Status.CONFIRMING])
def test_a_payment_after_the_monitoring_time_is_a_contradiction(found):
    world = expired()
    world.pass_time(86_400)
    assert look(world, found).verdict == "contradiction"
    assert world.invoice.status == "expired"
    assert world.agenda == {}


def test_the_end_of_monitoring_clears_the_agenda():
    world = expired()
    world.pass_time(86_400)
    world.take(ClockRanOut(), Stage.CLOCK)
    assert world.agenda == {}


def test_without_monitoring_nobody_looks_after_expiry():
    assert expired(monitor_minutes=Decimal(0)).agenda == {}


# ---------------------------------------------------------------- given up, contradicted


@pytest.mark.parametrize("status", ["queued", "in_doubt", "pending", "partially_paid", "confirming"])
def test_an_open_order_can_be_cancelled(status):
    world = World(new_invoice(status=status), new_policy())
    world.take(CancelRequested(reason="sold out"))
    assert (world.invoice.status, world.invoice.reason, world.agenda) == ("cancelled", "sold out", {})
    assert story(world) == ["cancelled"]


def test_a_second_cancellation_is_no_news():
    world = World(new_invoice(status="cancelled"), new_policy())
    assert world.take(CancelRequested(reason="again")).verdict == "ignored"


@pytest.mark.parametrize(
    ("status", "evidence", "verdict"),
    [
        ("paid", CancelRequested(reason="gone"), "contradiction"),
        ("paid", Seen(status=Status.EXPIRED, word="Expired"), "contradiction"),
        ("paid", Seen(status=Status.PENDING, word="New"), "contradiction"),
        ("paid", Seen(status=Status.PAID, word="Paid"), "ignored"),
        ("paid", Seen(status=None, word="Blue"), "ignored"),
        ("refunded", Seen(status=Status.PAID, word="Paid"), "contradiction"),
        ("failed", MADE, "contradiction"),
        ("cancelled", MADE, "contradiction"),
        ("cancelled", Seen(status=Status.PAID, word="Paid"), "contradiction"),
        ("failed", Seen(status=Status.PARTIALLY_PAID, word="PARTIAL"), "contradiction"),
        # The provider can't be told that an order was given up: that it waits on, and lets it lapse, is as it must be.
        ("cancelled", Seen(status=Status.PENDING, word="Waiting"), "ignored"),
        ("cancelled", Seen(status=Status.EXPIRED, word="Expired"), "ignored"),
        ("failed", Seen(status=Status.EXPIRED, word="Expired"), "ignored"),
    ],
)
def test_evidence_against_a_closed_invoice_is_told_apart_and_changes_nothing(status, evidence, verdict):
    world = World(new_invoice(status=status, sequence=3, first_open=0), new_policy())
    decision = world.take(evidence)
    event, changed = (CONTRADICTION, {"sequence", "contradicted"}) if verdict == "contradiction" else (None, set())
    assert (decision.verdict, set(decision.changes), decision.event) == (verdict, changed, event)
    assert world.agenda == {}
