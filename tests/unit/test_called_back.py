"""What a callback is worth: the rules of domain/callbacks.py, one after the other."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from domain.against import CONTRADICTION
from domain.decision import Stage
from domain.evidence import CancelRequested, ClockRanOut, Created, InDoubt, Unreachable, Unreadable
from domain.status import Status
from tests.invoice_world import START, World, new_invoice, new_policy
from tests.unit.called_back_cases import REF, called, made, verified


def test_until_a_callback_comes_nobody_is_asked():
    world = made()

    assert world.due(Stage.CHECK) is None
    assert world.take(called()).verdict == "noted"
    assert world.due(Stage.CHECK) == 0
    assert world.invoice.status == "pending"  # a word is no payment yet


def test_paid_needs_a_bound_answer():
    world = made()
    world.take(called())

    assert world.take(verified(), held=Stage.CHECK).event == "invoice.paid"
    assert world.invoice.called_status is None
    assert world.told[-1][1] == "invoice.paid"


def test_not_yet_is_no_contradiction_and_is_looked_at_again_soon():
    world = made()
    world.take(called())
    waits = []
    for _ in range(6):
        decision = world.take(verified("PENDING", Status.PENDING), held=Stage.CHECK)
        assert decision.verdict == "ignored"
        waits.append(world.due(Stage.CHECK))
    assert waits == [1, 2, 5, 10, 30, 30]
    world.pass_time(3600 * 0.5)
    assert (
        world.take(verified("PENDING", Status.PENDING), held=Stage.CHECK).event is None
    )  # never alone: it was answered
    assert world.take(verified(), held=Stage.CHECK).event == "invoice.paid"


def test_a_look_up_that_lags_by_a_step_is_asked_again_soon_too():
    world = made(policy={"poll_seconds": 3600.0})
    world.take(called("PARTIAL", Status.PARTIALLY_PAID))
    world.take(called())  # and the rest, while the look-up that the first one asked for is under way
    lagging = verified("PARTIAL", Status.PARTIALLY_PAID, paid_amount=Decimal("0.1"))

    assert world.take(lagging, held=Stage.CHECK).event == "invoice.partially_paid"
    assert world.due(Stage.CHECK) == 1
    assert world.take(lagging, held=Stage.CHECK).event is None
    assert world.due(Stage.CHECK) == 2
    assert world.take(verified(), held=Stage.CHECK).event == "invoice.paid"


@pytest.mark.parametrize(
    "answer", [Unreadable(reason="HTTP 406"), Unreadable(reason="no status"), Unreachable(reason="x")]
)
def test_where_no_answer_is_to_be_had_the_callback_decides_after_the_grace(answer):
    world = made()
    world.take(called(paid_amount=Decimal("0.0002"), pay_currency="BTC"))

    assert world.take(answer, held=Stage.CHECK).event is None
    world.pass_time(5 * 60)
    decision = world.take(answer, held=Stage.CHECK)
    assert decision.event == "invoice.paid"
    assert "stood alone" in world.invoice.reason
    assert world.invoice.paid_amount == Decimal("0.0002")


def test_where_there_is_nothing_to_ask_by_it_decides_at_once():
    world = made()

    assert world.take(called(reference=None)).event == "invoice.paid"  # an old payload, without a tracking code


def test_an_unanswered_look_up_is_asked_again_no_later_than_the_grace_ends():
    world = made(policy={"poll_seconds": 3600.0, "callback_grace_minutes": Decimal("0.5")})
    world.take(called())
    for _ in range(5):
        world.take(Unreadable(reason="HTTP 404"), held=Stage.CHECK)
    assert world.due(Stage.CHECK) == 30


@pytest.mark.parametrize(
    ("claim", "kind"),
    [
        ({"paid_amount": Decimal("0.01")}, "amount"),
        ({"paid_amount": Decimal(10), "pay_currency": "LTC"}, "coin"),
        ({"paid_amount": Decimal("9.49"), "pay_currency": "btc"}, "amount"),
    ],
)
def test_a_callback_that_is_contradicted_by_what_is_known_never_pays(claim, kind):
    world = made(pay_amount=Decimal(10), pay_currency="BTC", policy={"underpaid_tolerance_percent": Decimal(5)})
    claim = {"pay_currency": "BTC", **claim}

    decision = world.take(called(reference=None, **claim))
    assert (decision.verdict, decision.event) == ("contradiction", CONTRADICTION)
    assert decision.note.startswith(kind)
    assert world.invoice.status == "pending"
    assert world.take(called(reference=None, paid_amount=Decimal("9.5"), pay_currency="BTC")).event == "invoice.paid"


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ({"price": Decimal("12.51")}, "price"),
        ({"currency": "USD"}, "currency"),
        ({"provider_ref": "another"}, "reference"),
        ({"order_id": "order-2"}, "order"),
        ({"owner": "inv_other"}, "reference"),
        ({"pay_currency": "DOGE"}, "coin"),
        ({"paid_amount": Decimal(9), "pay_amount": Decimal(10)}, "amount"),
    ],
)
def test_an_answer_about_something_else_is_a_contradiction_and_no_payment(answer, kind):
    world = made(pay_currency="BTC")
    world.take(called())

    decision = world.take(verified(**answer), held=Stage.CHECK)
    assert (decision.verdict, decision.event, world.invoice.status) == ("contradiction", CONTRADICTION, "pending")
    assert decision.note.startswith(kind)


def test_a_twin_of_our_own_repeated_create_pays_the_order():
    world = made()
    world.invoice.doubts = 1
    world.take(called())

    assert world.take(verified(provider_ref="twin"), held=Stage.CHECK).event == "invoice.paid"


def test_of_an_order_with_several_invoices_none_is_paid_by_a_callback_alone():
    world = made()
    world.take(called(only=False))
    world.pass_time(600)

    decision = world.take(Unreadable(reason="HTTP 404"), held=Stage.CHECK)
    assert (decision.event, decision.gives_back, world.invoice.called_status) == (None, True, None)
    # And an answer about its sibling says nothing against it.
    assert world.take(verified(provider_ref="sibling"), held=Stage.CHECK).verdict == "noted"


def test_a_callback_before_the_answer_to_the_create_is_looked_at_once_that_comes():
    world = World(new_invoice(price=Decimal("12.50"), currency="EUR"), new_policy(asked_by_reference=True))

    assert world.take(called()).event is None
    world.take(Created(provider_ref=REF), held=Stage.CREATE)
    assert (world.invoice.status, world.due(Stage.CHECK)) == ("pending", 0)
    assert world.take(verified(), held=Stage.CHECK).event == "invoice.paid"


def test_one_that_was_made_although_its_answer_was_lost_is_adopted():
    world = World(
        new_invoice(price=Decimal("12.50"), currency="EUR"), new_policy(asked_by_reference=True, on_doubt="hold")
    )
    world.take(InDoubt(reason="no answer"), held=Stage.CREATE)
    world.take(called())

    assert world.due(Stage.CHECK) == 0
    assert world.take(verified("PENDING", Status.PENDING), held=Stage.CHECK).event == "invoice.pending"
    assert world.invoice.provider_ref == REF
    assert world.due(Stage.CLOCK) == 3600


@pytest.mark.parametrize(
    ("status", "word", "verdict"),
    [
        (Status.PAID, Status.PENDING, "ignored"),
        (Status.PAID, Status.PARTIALLY_PAID, "ignored"),
        (Status.PAID, Status.PAID, "ignored"),
        (Status.PAID, Status.EXPIRED, "contradiction"),
        (Status.CANCELLED, Status.PAID, "contradiction"),
        (Status.CANCELLED, Status.PENDING, "noted"),
        (Status.FAILED, Status.PAID, "contradiction"),
        (Status.REFUNDED, Status.PAID, "ignored"),
    ],
)
def test_an_older_word_is_no_news_and_a_closed_invoice_stays_closed(status, word, verdict):
    world = made()
    world.invoice.status = status.value

    decision = world.take(called(word.value, word))
    event = CONTRADICTION if verdict == "contradiction" else None
    assert (decision.verdict, decision.event, world.invoice.status) == (verdict, event, status.value)


def test_a_repeated_callback_asks_nobody_again():
    world = made()
    world.take(called())
    world.take(verified("PENDING", Status.PENDING), held=Stage.CHECK)
    due = world.due(Stage.CHECK)

    assert world.take(called()).verdict == "ignored"
    assert world.due(Stage.CHECK) == due


def test_a_word_nobody_documented_brings_a_look_and_changes_nothing():
    world = made()

    assert world.take(called("WEIRD", None)).event is None
    assert world.due(Stage.CHECK) == 0
    assert world.invoice.called_status is None


def test_what_no_look_up_ever_confirmed_ends_as_a_contradiction():
    world = made(policy={"monitor_minutes": Decimal(10)})
    world.take(called())
    world.pass_time(3600)
    world.take(ClockRanOut(), held=Stage.CLOCK)
    world.take(verified("PENDING", Status.PENDING, asked_at=world.now), held=Stage.CHECK)
    assert world.invoice.status == "expired"
    world.pass_time(600)

    decision = world.take(ClockRanOut(), held=Stage.CLOCK)
    assert (decision.verdict, decision.event) == ("contradiction", CONTRADICTION)
    assert decision.note.startswith("status")


def test_what_the_shop_gave_up_is_not_paid_by_a_late_callback():
    world = made()
    world.take(CancelRequested(reason="changed my mind"))

    assert world.take(called()).verdict == "contradiction"
    assert world.invoice.status == "cancelled"


def test_an_answer_about_something_else_is_not_asked_for_without_end():
    world = made(policy={"monitor_minutes": Decimal(10), "poll_seconds": 60.0})
    world.take(called())
    other = verified(provider_ref="another")
    for _ in range(200):
        row = min(world.agenda.values(), key=lambda row: row.due_at, default=None)
        if row is None:
            break
        world.now = max(world.now, row.due_at)
        if world.agenda.get(Stage.CLOCK) is row:
            world.take(ClockRanOut(), held=Stage.CLOCK)
        else:
            world.take(replace(other, asked_at=world.now), held=Stage.CHECK)
    assert (world.invoice.status, world.agenda) == ("expired", {})
    assert world.now <= START + timedelta(minutes=71)


@pytest.mark.parametrize(
    ("paid", "anomaly"), [("10", None), ("10.00", None), ("9.6", "underpaid"), ("10.1", "overpaid")]
)
def test_the_amounts_say_whether_too_much_or_a_tolerated_little_less_was_paid(paid, anomaly):
    world = made(policy={"underpaid_tolerance_percent": Decimal(5)})
    world.take(called())

    world.take(verified(paid_amount=Decimal(paid), pay_amount=Decimal(10)), held=Stage.CHECK)
    assert (world.invoice.status, world.invoice.anomaly) == ("paid", anomaly)


@pytest.mark.parametrize("claim", [{"only": False}, {"pay_currency": "LTC"}])
def test_where_a_callback_may_not_stand_alone_polling_goes_on(claim):
    world = made(pay_currency="BTC")
    world.take(called(**claim))
    world.pass_time(10 * 60)
    world.take(Unreadable(reason="HTTP 404"), held=Stage.CHECK)

    assert world.due(Stage.CHECK) == 30
    assert world.take(verified(), held=Stage.CHECK).event == "invoice.paid"


@pytest.mark.parametrize(
    ("asked", "told", "kind"),
    [
        ({"pay_currency": "BTC"}, {"pay_currency": "DOGE"}, "coin"),
        ({"pay_amount": Decimal(1)}, {"paid_amount": Decimal("0.01")}, "amount"),
        ({}, {"paid_amount": Decimal(0)}, "amount"),
    ],
)
def test_a_claim_that_can_t_be_right_is_told_at_once_and_looked_into_all_the_same(asked, told, kind):
    world = made(**asked)

    decision = world.take(called(**told))

    assert (decision.verdict, (decision.note or "").partition(":")[0]) == ("contradiction", kind)
    assert (world.invoice.status, world.due(Stage.CHECK)) == ("pending", 0)


@pytest.mark.parametrize(("asked", "told"), [("BTC", "Bitcoin"), ("btc", "BTC"), ("USDT", "tether")])
def test_a_coin_that_is_written_out_is_the_same_coin(asked, told):
    assert made(pay_currency=asked).take(called(pay_currency=told)).verdict == "noted"
