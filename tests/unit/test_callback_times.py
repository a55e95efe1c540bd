"""When a callback came, since when nobody answered, and when an invoice ends that a callback alone has made."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest

from domain.against import CONTRADICTION
from domain.decision import Stage
from domain.evidence import CalledBack, ClockRanOut, Created, InDoubt, Seen, Unreadable
from domain.status import Status
from tests.invoice_world import START, World, new_invoice, new_policy

REF, CODE = "9a1c", "100061"
HOUR = 3600
PRICE = Decimal("12.50")
NO_ANSWER = Unreadable(reason="HTTP 404")


def made(**policy):
    world = World(new_invoice(price=PRICE, currency="EUR"), new_policy(asked_by_reference=True, **policy))
    world.take(Created(provider_ref=REF), held=Stage.CREATE)
    return world


def called(status=Status.PAID, reference=CODE, **fields):
    return CalledBack(status=status, word=str(status), reference=reference, **fields)


def look(world, status):
    answer = Seen(
        status=status, word=str(status), provider_ref=REF, order_id="order-1", price=PRICE, asked_at=world.now
    )
    return world.take(answer, held=Stage.CHECK)


def expire(world):
    """Go to the end of its time: the look at the end brings nothing."""
    world.now = world.invoice.expires_at
    world.take(ClockRanOut(), held=Stage.CLOCK)
    look(world, Status.PENDING)
    assert world.invoice.status == "expired"


# ---------------------------------------------------------------- when it came


@pytest.mark.parametrize("late_payment", ["pay", "hold"])
def test_what_a_callback_told_in_time_is_not_held_though_answers_said_not_yet(late_payment):
    world = made(late_payment=late_payment)
    world.pass_time(HOUR - 60)
    world.take(called())
    came = world.now
    look(world, Status.PENDING)
    expire(world)
    world.pass_time(5)
    look(world, Status.PENDING)
    assert world.invoice.called_at == came

    world.pass_time(5 * 60)
    assert world.take(NO_ANSWER, held=Stage.CHECK).event == "invoice.paid"
    assert world.invoice.anomaly == "late"  # the shop was told that it expired


@pytest.mark.parametrize("late_payment", ["pay", "hold"])
def test_a_look_up_that_lags_behind_a_callback_in_time_is_not_held(late_payment):
    world = made(late_payment=late_payment)
    world.pass_time(HOUR - 60)
    world.take(called())
    expire(world)
    world.pass_time(5)
    assert look(world, Status.CONFIRMING).event == "invoice.confirming"
    assert look(world, Status.PAID).event == "invoice.paid"
    assert world.invoice.anomaly == "late"  # the shop was told that it expired


@pytest.mark.parametrize(
    "told", [{"status": Status.PARTIALLY_PAID}, {"only": False}, {"status": Status.EXPIRED}], ids=str
)
def test_what_no_callback_told_of_in_time_is_late(told):
    """Of less than this, of perhaps another invoice, of no payment at all."""
    world = made()
    world.pass_time(HOUR - 60)
    world.take(called(**told))
    expire(world)
    world.pass_time(5)
    assert look(world, Status.PAID).event == "invoice.paid"
    assert world.invoice.anomaly == "late"


@pytest.mark.parametrize("before", [Status.PARTIALLY_PAID, Status.CONFIRMING, Status.EXPIRED])
def test_a_callback_that_came_late_is_late_whatever_another_said_in_time(before):
    world = made()
    world.pass_time(HOUR - 60)
    world.take(called(before))
    expire(world)
    world.pass_time(60)
    world.take(called())
    world.pass_time(5 * 60)
    assert world.take(NO_ANSWER, held=Stage.CHECK).event == "invoice.paid"
    assert world.invoice.anomaly == "late"


@pytest.mark.parametrize(("came", "event"), [(-1, "invoice.paid"), (1, CONTRADICTION)])
def test_one_that_stands_alone_at_once_is_held_by_when_it_came_though_it_is_judged_later(came, event):
    world = made(late_payment="hold")
    world.pass_time(HOUR)
    world.take(ClockRanOut(), held=Stage.CLOCK)
    world.invoice.monitor_until = world.now + timedelta(hours=1)
    assert world.invoice.status == "expired"
    at = world.now + timedelta(seconds=came)
    world.pass_time(5)
    assert world.take(called(reference=None, asked_at=at)).event == event
    assert world.invoice.anomaly == "late"


@pytest.mark.parametrize("late_payment", ["pay", "hold"])
def test_a_late_callback_stays_late(late_payment):
    world = made(late_payment=late_payment)
    world.take(called(Status.PENDING))
    expire(world)
    world.pass_time(60)
    world.take(called())
    world.pass_time(5 * 60)
    event = "invoice.paid" if late_payment == "pay" else CONTRADICTION
    assert world.take(NO_ANSWER, held=Stage.CHECK).event == event
    assert world.invoice.anomaly == "late"


# ---------------------------------------------------------------- since when nobody answered


def test_the_grace_begins_anew_with_each_answer_and_with_each_word_that_says_more():
    world = made()
    world.take(called(Status.PARTIALLY_PAID))
    world.pass_time(4 * 60)
    look(world, Status.PENDING)
    assert world.invoice.called_at == START
    world.pass_time(4 * 60)
    assert world.take(NO_ANSWER, held=Stage.CHECK).event is None

    world.take(called())
    world.pass_time(4 * 60)
    assert world.take(NO_ANSWER, held=Stage.CHECK).event is None
    world.pass_time(60)
    assert world.take(NO_ANSWER, held=Stage.CHECK).event == "invoice.paid"


def test_what_is_settled_is_forgotten_and_counts_for_no_later_callback():
    world = made()
    world.take(called(Status.CONFIRMING))
    look(world, Status.PENDING)
    look(world, Status.CONFIRMING)
    assert (world.invoice.called_at, world.invoice.called_answered_at) == (None, None)


# ---------------------------------------------------------------- one that a callback alone has made


def in_doubt(**given):
    policy = {"asked_by_reference": True, "on_doubt": "retry", "poll_seconds": 3600.0}
    world = World(new_invoice(price=PRICE, currency="EUR", **given), new_policy(**policy))
    world.take(InDoubt(reason="no answer"), held=Stage.CREATE)
    return world


def run_out(world):
    """Let the clock come as often as it is due, and nobody answer."""
    for _ in range(200):
        row = min(world.agenda.values(), key=lambda row: row.due_at, default=None)
        if row is None:
            return
        world.now = max(world.now, row.due_at)
        held = Stage.CLOCK if world.agenda.get(Stage.CLOCK) is row else Stage.CHECK
        world.take(ClockRanOut() if held is Stage.CLOCK else NO_ANSWER, held=held)


@pytest.mark.parametrize("reference", [None, CODE])
@pytest.mark.parametrize(
    ("status", "end"), [(Status.PARTIALLY_PAID, HOUR), (Status.CONFIRMING, HOUR + 1440 * 60)], ids=str
)
def test_one_in_doubt_that_a_callback_moves_alone_has_an_end_and_comes_to_it(status, end, reference):
    world = in_doubt()
    world.take(called(status, reference=reference))
    if reference is not None:
        world.pass_time(5 * 60)
        world.take(NO_ANSWER, held=Stage.CHECK)
    assert world.invoice.status == status
    assert (world.invoice.expires_at - world.now).total_seconds() == HOUR
    assert (world.due(Stage.CREATE), world.due(Stage.CLOCK)) == (None, end)

    run_out(world)
    assert (world.invoice.status, world.agenda) == ("expired", {})


def test_its_own_lifetime_goes_before_the_account_s():
    world = in_doubt(lifetime_minutes=Decimal(5))
    world.take(called(Status.PARTIALLY_PAID, reference=None))
    assert world.due(Stage.CLOCK) == 300


def test_what_a_callback_alone_pays_needs_no_end_of_its_watch():
    world = in_doubt()
    assert world.take(called(reference=None)).event == "invoice.paid"
    assert (world.invoice.expires_at, world.agenda) == (START + timedelta(hours=1), {})


@pytest.mark.parametrize("status", [Status.PARTIALLY_PAID, Status.CONFIRMING])
def test_a_callback_before_the_create_s_answer_is_given_the_end_that_this_brings(status):
    world = World(new_invoice(price=PRICE, currency="EUR"), new_policy(asked_by_reference=True))
    world.take(called(status, reference=None))
    world.take(Created(provider_ref=REF, lifetime_minutes=Decimal(30)), held=Stage.CREATE)
    assert world.invoice.status == status
    assert world.due(Stage.CLOCK) == (1800 if status is Status.PARTIALLY_PAID else 1800 + 1440 * 60)
    run_out(world)
    assert (world.invoice.status, world.agenda) == ("expired", {})


def test_one_in_doubt_that_is_found_confirming_comes_to_an_end_too():
    world = in_doubt()
    world.take(called(Status.PENDING))
    assert look(world, Status.CONFIRMING).event == "invoice.confirming"
    run_out(world)
    assert (world.invoice.status, world.agenda) == ("expired", {})
