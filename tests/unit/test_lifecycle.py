"""What becomes of an invoice, behaviour by behaviour; the words are those of the contract."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest

from domain import evidence as said
from domain import schedule
from domain.decision import Stage
from domain.evidence import CancelRequested, ClockRanOut, Created, OrderRefused, RetryRequested, Seen
from domain.status import Anomaly, Status
from tests.invoice_world import START, World, new_invoice, new_policy
from tests.unit.invoice_stories import (
    EXPIRES_AT,
    HOUR,
    LOST,
    MADE,
    REFUSED_KEY,
    TURNED_AWAY,
    UNREACHABLE,
    look,
    pending,
    queued,
    story,
)

# ---------------------------------------------------------------- made


def test_an_order_that_was_made_is_pending_until_the_providers_expiry():
    world = pending()
    assert world.invoice.status == "pending"
    assert world.invoice.expires_at == EXPIRES_AT
    assert str(world.invoice.pay_amount) == "0.0358619204"
    assert story(world) == ["pending"]
    assert Stage.CREATE not in world.agenda
    assert world.due(Stage.CLOCK) == HOUR
    assert world.due(Stage.CHECK) == 30


@pytest.mark.parametrize(
    ("answer", "order_minutes", "expires_in_minutes"),
    [
        (Created(provider_ref="1"), None, 60),  # the account's policy
        (Created(provider_ref="1"), Decimal("7.5"), 7.5),  # the order's own wish
        (Created(provider_ref="1", lifetime_minutes=Decimal(90)), Decimal("7.5"), 90),  # the provider's word
        (Created(provider_ref="1", lifetime_minutes=Decimal(0)), None, 60),  # no usable word
        (Created(provider_ref="1", lifetime_minutes=Decimal(525_601)), None, 60),
        (
            Created(provider_ref="1", lifetime_minutes=Decimal(5), expires_at=EXPIRES_AT),
            None,
            60,
        ),  # a time wins
        (Created(provider_ref="1", expires_at=START + timedelta(days=36_600)), None, 60),  # nobody meant that
    ],
)
def test_the_expiry_is_the_providers_then_the_orders_then_the_accounts(answer, order_minutes, expires_in_minutes):
    world = World(new_invoice(lifetime_minutes=order_minutes), new_policy())
    world.take(answer, Stage.CREATE)
    assert world.invoice.expires_at == START + timedelta(minutes=expires_in_minutes)
    assert world.due(Stage.CLOCK) == expires_in_minutes * 60


def test_what_the_answer_does_not_say_stays_as_the_order_said_it():
    world = World(new_invoice(price=Decimal("100.00"), currency="EUR"), new_policy())
    world.take(Created(provider_ref="1"), Stage.CREATE)
    assert str(world.invoice.price) == "100.00"
    assert world.invoice.currency == "EUR"


def test_a_provider_that_cannot_be_asked_is_never_polled():
    assert Stage.CHECK not in pending(can_be_asked=False).agenda


# ---------------------------------------------------------------- not made


def test_an_order_the_provider_refuses_fails_at_once_with_its_words():
    world = queued()
    world.take(OrderRefused(reason="HTTP 200: server not found"), Stage.CREATE)
    assert world.invoice.status == "failed"
    assert world.invoice.reason == "HTTP 200: server not found"
    assert world.agenda == {}


def test_an_unreachable_provider_is_called_again_ever_slower():
    world = queued()
    waits = []
    for _ in range(8):
        world.take(UNREACHABLE, Stage.CREATE)
        waits.append(world.due(Stage.CREATE))
        world.pass_time(waits[-1])
    assert waits == [1, 2, 5, 10, 30, 60, 60, 60]
    assert world.told == []


@pytest.mark.parametrize(
    ("retry_after", "wait"),
    [(None, 1), (0, 1), (-5, 1), (120.0, 120), (1e12, 86_400), (float("inf"), 86_400), (float("nan"), 1)],
)
def test_a_rate_limit_is_waited_for_up_to_a_day(retry_after, wait):
    world = queued()
    world.take(said.RateLimited(reason="HTTP 429", retry_after_seconds=retry_after), Stage.CREATE)
    assert world.due(Stage.CREATE) == wait


def test_refused_credentials_hold_the_order_while_the_account_is_probed():
    world = queued(hold_refused_minutes=Decimal(10))
    world.take(REFUSED_KEY, Stage.CREATE)
    assert world.invoice.status == "queued"
    assert world.due(Stage.CREATE) == 5
    assert world.due(Stage.CLOCK) == 600
    world.pass_time(300)
    world.take(REFUSED_KEY, Stage.CREATE)
    assert world.due(Stage.CLOCK) == 300  # counted from the first refusal
    world.take(MADE, Stage.CREATE)
    assert world.invoice.status == "pending"
    assert world.invoice.refused_since is None


def test_the_account_is_asked_once_more_just_before_the_hold_is_over():
    world = queued(hold_refused_minutes=Decimal(10), timeout_seconds=10)
    for _ in range(5):  # the next probe would come 60 s later, after the end
        world.take(REFUSED_KEY, Stage.CREATE)
        world.pass_time(110)
    world.take(REFUSED_KEY, Stage.CREATE)
    assert world.due(Stage.CREATE) == 600 - 5 * 110 - 11


@pytest.mark.parametrize("last_word", [REFUSED_KEY, ClockRanOut()])
def test_an_order_fails_when_the_credentials_stay_refused(last_word):
    world = queued(hold_refused_minutes=Decimal(10))
    world.take(REFUSED_KEY, Stage.CREATE)
    world.pass_time(600)
    world.take(last_word, Stage.CREATE if last_word is REFUSED_KEY else Stage.CLOCK)
    assert (world.invoice.status, world.invoice.reason) == ("failed", "credentials_refused")


@pytest.mark.parametrize("last_word", [TURNED_AWAY, ClockRanOut()])
def test_an_order_that_is_turned_away_waits_the_same_and_fails_for_its_own_reason(last_word):
    world = queued(hold_refused_minutes=Decimal(10))
    world.take(TURNED_AWAY, Stage.CREATE)
    assert (world.invoice.status, world.invoice.reason) == ("queued", "provider_refuses")
    assert (world.due(Stage.CREATE), world.due(Stage.CLOCK)) == (5, 600)
    world.pass_time(600)
    world.take(last_word, Stage.CREATE if last_word is TURNED_AWAY else Stage.CLOCK)
    assert (world.invoice.status, world.invoice.reason) == ("failed", "provider_refuses")


def test_what_the_order_waits_for_is_the_last_refusal_and_goes_with_it():
    world = queued(hold_refused_minutes=Decimal(10))
    world.take(TURNED_AWAY, Stage.CREATE)
    world.take(REFUSED_KEY, Stage.CREATE)
    assert world.invoice.reason == "credentials_refused"
    world.take(UNREACHABLE, Stage.CREATE)
    assert world.invoice.reason is None
    world.take(TURNED_AWAY, Stage.CREATE)
    world.take(MADE, Stage.CREATE)
    assert (world.invoice.status, world.invoice.reason) == ("pending", None)


def test_a_repeat_that_is_turned_away_leaves_the_doubt_and_its_reason():
    world = queued()
    world.take(LOST, Stage.CREATE)
    world.take(TURNED_AWAY, Stage.CREATE)
    assert (world.invoice.status, world.invoice.reason) == ("in_doubt", LOST.reason)
    assert world.due(Stage.CREATE) is not None


def test_another_answer_between_two_refusals_starts_the_hold_anew():
    world = queued(hold_refused_minutes=Decimal(10))
    world.take(REFUSED_KEY, Stage.CREATE)
    world.pass_time(599)
    world.take(UNREACHABLE, Stage.CREATE)
    assert Stage.CLOCK not in world.agenda
    world.pass_time(60)
    world.take(REFUSED_KEY, Stage.CREATE)
    assert world.invoice.status == "queued"
    assert world.due(Stage.CLOCK) == 600


@pytest.mark.parametrize("word", [ClockRanOut(), UNREACHABLE, said.RateLimited(reason="HTTP 429")])
def test_an_order_still_queued_at_create_before_is_too_late(word):
    world = World(new_invoice(create_before=START + timedelta(seconds=60)), new_policy())
    assert world.due(Stage.CLOCK) == 60
    world.pass_time(60)
    world.take(word, Stage.CLOCK if isinstance(word, ClockRanOut) else Stage.CREATE)
    assert (world.invoice.status, world.invoice.reason) == ("failed", "too_late")
    assert world.agenda == {}


def test_a_call_under_way_at_create_before_decides_itself():
    world = World(new_invoice(create_before=START + timedelta(seconds=60)), new_policy())
    world.pass_time(60)
    world.take(ClockRanOut(in_call=True), Stage.CLOCK)
    assert world.invoice.status == "queued"
    assert world.due(Stage.CLOCK) == 1
    world.take(MADE, Stage.CREATE)
    assert world.invoice.status == "pending"


# ---------------------------------------------------------------- in doubt


def test_a_lost_answer_puts_the_order_in_doubt_and_nobody_is_told():
    world = queued()
    world.take(LOST, Stage.CREATE)
    assert (world.invoice.status, world.invoice.sequence) == ("in_doubt", 0)
    assert world.told == []


def test_doubt_is_retried_a_few_times_then_held_for_an_operator():
    world = queued(on_doubt="retry")
    waits = []
    while Stage.CREATE in world.agenda:
        world.take(LOST, Stage.CREATE)
        waits.append(world.due(Stage.CREATE))
        world.pass_time(waits[-1] or 0)
    assert waits == [*schedule.DOUBT_RETRY_SECONDS, None]
    assert world.invoice.status == "in_doubt"


def test_doubt_is_held_at_once_where_the_account_says_so_until_an_operator_asks_again():
    world = queued(on_doubt="hold")
    world.take(LOST, Stage.CREATE)
    assert world.agenda == {}
    world.take(RetryRequested(reason="redrive"))
    assert world.due(Stage.CREATE) == 0
    world.take(MADE, Stage.CREATE)
    assert story(world) == ["pending"]


def test_a_refused_repeat_says_nothing_of_the_first_call_so_an_operator_decides():
    world = queued()
    world.take(LOST, Stage.CREATE)
    world.take(OrderRefused(reason="duplicate order"), Stage.CREATE)
    assert world.invoice.status == "in_doubt"
    assert world.agenda == {}


def test_doubt_is_not_retried_after_create_before():
    world = World(new_invoice(create_before=START + timedelta(seconds=60)), new_policy())
    world.take(LOST, Stage.CREATE)
    assert world.due(Stage.CREATE) == 5
    world.pass_time(60)
    world.take(LOST, Stage.CREATE)
    assert world.agenda == {}


def test_only_what_is_in_doubt_can_be_asked_for_again():
    world = pending()
    assert world.take(RetryRequested(reason="redrive")).verdict == "ignored"
    assert Stage.CREATE not in world.agenda


def test_the_answer_of_a_twin_changes_nothing_and_is_kept():
    world = pending()
    assert world.take(MADE).verdict == "ignored"  # the same answer once more
    assert world.take(Created(provider_ref="twin", address="another")).verdict == "contradiction"
    assert world.invoice.provider_ref == "110816020"
    assert world.invoice.address is None


@pytest.mark.parametrize("answer", [OrderRefused(reason="no"), REFUSED_KEY, UNREACHABLE, LOST])
def test_a_late_answer_that_made_nothing_contradicts_nothing(answer):
    world = pending()
    assert world.take(answer).verdict == "noted"
    assert world.invoice.status == "pending"
    world.take(CancelRequested(reason="gone"))
    assert world.take(answer).verdict in {"noted", "ignored"}
    assert world.agenda == {}


# ---------------------------------------------------------------- paid


def test_a_payment_goes_forward_step_by_step():
    world = pending()
    look(world, Status.PARTIALLY_PAID, paid_amount=Decimal("0.01"))
    look(world, Status.CONFIRMING)
    look(world, Status.PAID, paid_amount=Decimal("0.0358619204"))
    assert story(world) == ["pending", "partially_paid", "confirming", "paid"]
    assert [sequence for *_, sequence in world.told] == [1, 2, 3, 4]
    assert (world.invoice.anomaly, world.agenda) == (None, {})


def test_steps_may_be_skipped():
    world = pending()
    look(world, Status.PAID)
    assert story(world) == ["pending", "paid"]


def test_a_partial_payment_that_grows_is_told_and_one_that_does_not_is_no_news():
    world = pending()
    for amount in ("1.0", "1.00", "0.5", "1.5"):
        look(world, Status.PARTIALLY_PAID, paid_amount=Decimal(amount))
    assert story(world) == ["pending", "partially_paid", "partially_paid"]
    assert str(world.invoice.paid_amount) == "1.5"
    assert world.due(Stage.CLOCK) == HOUR


def test_a_confirming_payment_falls_back_when_it_was_replaced():
    world = pending()
    look(world, Status.CONFIRMING)
    assert world.due(Stage.CLOCK) == HOUR + 86_400  # nothing expires it before its monitoring ends
    look(world, Status.PENDING)
    assert world.invoice.status == "pending"
    assert world.due(Stage.CLOCK) == HOUR


@pytest.mark.parametrize("anomaly", [Anomaly.OVERPAID, None])
def test_what_was_unusual_about_a_payment_is_kept_when_it_is_refunded(anomaly):
    world = pending()
    look(world, Status.PAID, anomaly=anomaly)
    world.take(Seen(status=Status.REFUNDED, word="Refunded"))
    assert (world.invoice.status, world.invoice.anomaly) == ("refunded", anomaly)


def test_an_invoice_the_provider_declares_invalid_fails():
    world = pending()
    look(world, Status.FAILED)
    assert (world.invoice.status, world.agenda) == ("failed", {})


def test_a_word_nobody_documented_changes_nothing_and_is_looked_at_again():
    world = pending()
    assert look(world, None).verdict == "noted"
    assert world.invoice.status == "pending"
    assert world.due(Stage.CHECK) == pytest.approx(39)


def test_look_ups_slow_down_as_long_as_nothing_happens_and_news_quickens_them():
    world = pending()
    waits = []
    for _ in range(12):
        assert look(world, Status.PENDING).verdict == "ignored"
        waits.append(world.due(Stage.CHECK))
    assert waits == sorted(waits)
    assert waits[-1] == 300
    look(world, Status.PARTIALLY_PAID)
    assert world.due(Stage.CHECK) == 30
