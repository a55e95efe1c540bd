"""What mutants showed nobody had stated: the fields and times of decisions that change no status."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest

from domain import schedule
from domain.callbacks import LOOK_AGAIN_SECONDS
from domain.decision import Stage
from domain.evidence import (
    CalledBack,
    ClockRanOut,
    Created,
    CredentialsRefused,
    InDoubt,
    Marked,
    OrderRefused,
    ProviderRefused,
    RetryRequested,
    Seen,
    Unreachable,
)
from domain.status import Anomaly, Status
from tests.invoice_world import START, Row, World, new_invoice, new_policy
from tests.unit.invoice_stories import HOUR, look, pending, queued, story

DAY = 24 * HOUR


# ---------------------------------------------------------------- a late payment that waits for a person


def expired(**policy):
    world = pending(late_payment="hold", **policy)
    look(world, Status.EXPIRED)
    return world


def test_a_held_payment_is_dated_once_and_looked_at_ever_more_rarely_until_the_watch_ends():
    world = expired()
    world.pass_time(600)
    first = look(world, Status.CONFIRMING)
    assert first.note == "late_payment: the provider says confirming, after it expired"
    assert world.invoice.updated_at == world.now
    assert (world.invoice.anomaly, world.invoice.quiet_polls) == (Anomaly.LATE, 1)
    waits, dated = [world.due(Stage.CHECK)], world.now
    for looks in range(2, 8):
        world.pass_time(waits[-1])
        assert look(world, Status.CONFIRMING).note == first.note
        assert (world.invoice.updated_at, world.invoice.quiet_polls) == (dated, looks)
        waits.append(world.due(Stage.CHECK))
    assert waits == sorted(waits)
    assert waits[-1] > waits[0]


def test_the_last_look_at_a_held_payment_comes_before_its_watch_ends():
    world = expired()
    world.pass_time(DAY - 60)
    look(world, Status.CONFIRMING)
    assert world.due(Stage.CHECK) == 60 - (world.policy.timeout_seconds + 1)


# ---------------------------------------------------------------- callbacks that come late, or have nothing to say


def callback(status, word="WORD", **fields):
    return CalledBack(status=status, word=word, **fields)


def paid(**policy):
    world = pending(**policy)
    look(world, Status.PAID)
    assert world.agenda == {}
    return world


def test_a_refund_that_a_callback_tells_of_is_looked_at_at_once():
    world = paid()
    decision = world.take(callback(Status.REFUNDED))
    assert (decision.verdict, decision.event, world.due(Stage.CHECK)) == ("noted", None, 0)
    assert look(world, Status.REFUNDED).event == "invoice.refunded"


@pytest.mark.parametrize("status", [Status.PENDING, Status.CONFIRMING, Status.PAID])
def test_a_callback_that_a_paid_invoice_has_heard_of_asks_nobody(status):
    world = paid()
    assert world.take(callback(status)).verdict == "ignored"
    assert world.agenda == {}


@pytest.mark.parametrize("status", [Status.CANCELLED, Status.FAILED, Status.EXPIRED])
def test_a_refund_of_what_was_never_paid_asks_nobody(status):
    world = World(new_invoice(status=status.value, provider_ref="1"), new_policy())
    assert world.take(callback(Status.REFUNDED)).verdict == "ignored"
    assert world.agenda == {}


@pytest.mark.parametrize("told", [Status.EXPIRED, Status.FAILED])
def test_a_callback_that_denies_a_payment_is_a_contradiction_with_its_word(told):
    world = paid()
    decision = world.take(callback(told, word="Gone"))
    assert (decision.verdict, decision.note) == ("contradiction", "status: the callback says Gone")


def silent(**given):
    """Made, by a provider that can't be asked."""
    world = World(new_invoice(), new_policy(can_be_asked=False))
    world.take(Created(provider_ref="1", **given), Stage.CREATE)
    return world


def test_a_callback_that_may_not_stand_alone_is_remembered_where_nobody_can_be_asked():
    world = silent()
    decision = world.take(callback(Status.PAID, word="Paid", only=False))
    assert (decision.verdict, decision.event, world.invoice.status) == ("noted", None, "pending")
    assert (world.invoice.called_status, world.invoice.called_word) == ("paid", "Paid")
    assert story(world) == ["pending"]


@pytest.mark.parametrize("word", [{"status": Status.PAID, "only": False}, {"status": Status.EXPIRED, "only": True}])
def test_a_callback_before_the_create_s_answer_that_pays_nothing_leaves_a_pending_invoice(word):
    world = World(new_invoice(), new_policy(can_be_asked=False))
    world.take(callback(word=word["status"].value, **word))
    world.take(Created(provider_ref="1", pay_amount=Decimal("0.5")), Stage.CREATE)
    assert (world.invoice.status, world.invoice.pay_amount, story(world)) == ("pending", Decimal("0.5"), ["pending"])
    assert (world.due(Stage.CREATE), world.due(Stage.CHECK), world.due(Stage.CLOCK)) == (None, None, HOUR)


def test_a_look_up_that_lags_behind_a_callback_is_repeated_after_the_first_short_wait():
    world = pending()
    world.take(callback(Status.PAID))
    look(world, Status.CONFIRMING)
    assert world.due(Stage.CHECK) == LOOK_AGAIN_SECONDS[0]
    assert world.invoice.called_looks == 1


# ---------------------------------------------------------------- answers about something else


def foreign(world, **fields):
    return world.take(Seen(status=Status.PAID, word="Paid", order_id="another", **fields), Stage.CHECK)


def test_an_answer_about_another_order_is_counted_kept_and_asked_for_again():
    world = pending()
    decision = foreign(world)
    assert (decision.verdict, decision.note) == ("contradiction", "order: the answer is about the order 'another'")
    assert (world.invoice.status, world.invoice.quiet_polls) == ("pending", 1)
    assert world.due(Stage.CHECK) == schedule.poll_wait(30.0, 1, 0.0).total_seconds() > 30
    foreign(world)
    assert world.invoice.quiet_polls == 2


def test_such_an_answer_forgets_what_a_callback_said():
    world = pending()
    world.take(callback(Status.PAID))
    foreign(world)
    assert {getattr(world.invoice, name) for name in ("called_status", "called_word", "called_at", "called_only")} == {
        None
    }


def test_such_an_answer_to_the_last_look_expires_the_invoice_with_its_note():
    world = pending()
    world.pass_time(HOUR)
    decision = foreign(world, asked_at=world.now)
    assert (decision.event, decision.note) == (
        "invoice.expired",
        "order: the answer is about the order 'another'",
    )


@pytest.mark.parametrize("status", ["paid", "failed", "cancelled", "refunded"])
def test_such_an_answer_about_a_closed_invoice_is_a_contradiction_and_asks_nobody(status):
    world = World(new_invoice(status=status, provider_ref="1"), new_policy())
    assert foreign(world).note == "order: the answer is about the order 'another'"
    assert (world.invoice.status, world.agenda) == (status, {})


def test_such_an_answer_about_an_expired_invoice_counts_as_a_look_while_it_is_watched():
    world = pending()
    look(world, Status.EXPIRED)
    foreign(world)
    assert (world.invoice.status, world.invoice.quiet_polls, Stage.CHECK in world.agenda) == ("expired", 1, True)
    world.pass_time(DAY)
    foreign(world)
    assert Stage.CHECK not in world.agenda


# ---------------------------------------------------------------- an invoice whose create's answer was lost


def adopted(status, **fields):
    world = World(new_invoice(lifetime_minutes=fields.pop("lifetime_minutes", None)), new_policy())
    world.take(InDoubt(reason="lost"), Stage.CREATE)
    world.invoice.refused_since = world.now
    seen = Seen(status=status, word=status.value, provider_ref="77", **fields)
    return world, world.take(seen, Stage.CHECK)


@pytest.mark.parametrize("status", [Status.PENDING, Status.PARTIALLY_PAID, Status.CONFIRMING])
def test_an_open_one_that_is_found_is_the_order_s_with_a_lifetime_from_now(status):
    world, decision = adopted(status, pay_amount=Decimal("0.5"))
    assert (decision.event, world.invoice.reason) == (f"invoice.{status}", f"the provider says {status}")
    assert (world.invoice.provider_ref, world.invoice.pay_amount) == ("77", Decimal("0.5"))
    assert (world.invoice.lifetime_minutes, world.invoice.refused_since) == (Decimal(60), None)
    assert (world.invoice.expires_at - world.now).total_seconds() == HOUR
    assert (world.due(Stage.CREATE), world.due(Stage.CHECK), world.due(Stage.CLOCK)) == (None, 30, HOUR)


def test_the_order_s_own_lifetime_goes_before_the_account_s():
    world, _ = adopted(Status.PENDING, lifetime_minutes=Decimal(5))
    assert (world.invoice.lifetime_minutes, world.due(Stage.CLOCK)) == (Decimal(5), 300)


def test_a_paid_one_that_is_found_is_paid_and_nothing_is_due():
    world, decision = adopted(Status.PAID, paid_amount=Decimal("0.5"))
    assert (decision.event, world.invoice.reason) == ("invoice.paid", "the provider says paid")
    assert (world.invoice.provider_ref, world.invoice.paid_amount, world.agenda) == ("77", Decimal("0.5"), {})


# ---------------------------------------------------------------- an account that is turned away


@pytest.mark.parametrize(
    ("refusal", "reason"), [(CredentialsRefused, "credentials_refused"), (ProviderRefused, "provider_refuses")]
)
def test_an_order_of_a_refused_account_says_what_it_waits_for_and_is_tried_once_more_before_it_fails(refusal, reason):
    world = queued(hold_refused_minutes=Decimal(10))
    world.take(refusal(reason="no"), Stage.CREATE)
    assert (world.invoice.reason, world.invoice.create_tries, world.invoice.refused_since) == (reason, 1, world.now)
    assert world.due(Stage.CREATE) == schedule.step(schedule.PROBE_SECONDS, 1)
    assert world.due(Stage.CLOCK) == 600
    world.pass_time(585)
    world.take(refusal(reason="no"), Stage.CREATE)
    assert world.due(Stage.CREATE) == 15 - (world.policy.timeout_seconds + 1)
    world.pass_time(10)
    world.take(refusal(reason="no"), Stage.CREATE)
    assert (world.due(Stage.CREATE), world.due(Stage.CLOCK)) == (schedule.step(schedule.PROBE_SECONDS, 3), 5)
    world.pass_time(5)
    assert world.take(refusal(reason="no"), Stage.CREATE).event == "invoice.failed"
    assert world.invoice.reason == reason


# ---------------------------------------------------------------- creates that must end, or begin anew


def in_doubt(**given):
    world = World(new_invoice(**given), new_policy())
    world.take(InDoubt(reason="lost"), Stage.CREATE)
    assert world.invoice.status == "in_doubt"
    return world


def test_a_refused_repeat_of_a_doubtful_create_ends_the_calls_and_leaves_the_doubt():
    world = in_doubt()
    decision = world.take(OrderRefused(reason="no such coin"), Stage.CREATE)
    assert (decision.verdict, world.invoice.status, world.due(Stage.CREATE)) == ("noted", "in_doubt", None)


def test_a_doubtful_order_that_comes_too_late_to_be_repeated_is_called_no_more():
    world = in_doubt(create_before=START + timedelta(seconds=60))
    world.pass_time(60)
    decision = world.take(Unreachable(reason="refused"), Stage.CREATE)
    assert (decision.verdict, world.invoice.status, world.due(Stage.CREATE)) == ("noted", "in_doubt", None)


def test_an_operator_s_retry_calls_at_once_and_counts_doubts_anew():
    world = in_doubt()
    decision = world.take(RetryRequested(reason="it was away"))
    assert (decision.verdict, world.invoice.doubts, world.due(Stage.CREATE)) == ("noted", 0, 0)


def test_a_refused_account_s_order_ends_at_create_before_where_that_is_earlier():
    world = World(
        new_invoice(create_before=START + timedelta(seconds=90)), new_policy(hold_refused_minutes=Decimal(10))
    )
    world.take(CredentialsRefused(reason="no"), Stage.CREATE)
    assert world.due(Stage.CLOCK) == 90
    world.pass_time(90)
    world.take(ClockRanOut(), Stage.CLOCK)
    assert (world.invoice.status, world.invoice.reason) == ("failed", "too_late")


def test_the_clock_of_a_waiting_order_that_rings_early_is_set_again_and_amid_a_call_in_a_second():
    world = queued(hold_refused_minutes=Decimal(10))
    world.take(CredentialsRefused(reason="no"), Stage.CREATE)
    world.pass_time(100)
    assert world.take(ClockRanOut(), Stage.CLOCK).verdict == "ignored"
    assert world.due(Stage.CLOCK) == 500
    world.pass_time(500)
    assert world.take(ClockRanOut(in_call=True), Stage.CLOCK).verdict == "ignored"
    assert (world.due(Stage.CLOCK), world.invoice.status) == (1, "queued")


@pytest.mark.parametrize("status", [Status.PAID, Status.CONFIRMING])
def test_a_callback_that_stands_alone_before_the_create_s_answer_brings_its_status_with_all_that_was_made(status):
    world = World(new_invoice(), new_policy(can_be_asked=False))
    world.take(callback(status, word="Paid", only=True, paid_amount=Decimal("0.5")))
    world.take(Created(provider_ref="1", pay_amount=Decimal("0.5")), Stage.CREATE)
    assert (world.invoice.status, world.invoice.provider_ref) == (status.value, "1")
    assert (world.invoice.paid_amount, world.invoice.anomaly, world.invoice.quiet_polls) == (Decimal("0.5"), None, 0)
    assert (world.invoice.expires_at - world.now).total_seconds() == HOUR


def test_a_callback_that_can_not_be_right_is_forgotten():
    world = silent(pay_amount=Decimal("0.5"))
    decision = world.take(callback(Status.PAID, only=True, paid_amount=Decimal("0.1")))
    assert (decision.verdict, decision.note) == ("contradiction", "amount: the callback's is 0.1")
    assert (world.invoice.status, world.invoice.called_status, world.invoice.called_only) == ("pending", None, None)


@pytest.mark.parametrize("status", [Status.PAID, Status.FAILED, Status.CANCELLED])
def test_a_mark_that_says_what_is_so_already_confirms_it(status):
    world = World(new_invoice(status=status.value, provider_ref="1"), new_policy())
    decision = world.take(Marked(status=status, reason="sure", by="bob"))
    said = ("noted", f"confirmed: it is {status}, says bob")
    assert (decision.verdict, decision.note, decision.changes, decision.event) == (*said, {}, None)


@pytest.mark.parametrize("status", [Status.FAILED, Status.CANCELLED])
def test_evidence_against_a_closed_invoice_clears_what_was_left_on_its_agenda(status):
    world = World(new_invoice(status=status.value, provider_ref="1"), new_policy())
    world.agenda = {stage: Row(world.now) for stage in (Stage.CREATE, Stage.CHECK, Stage.CLOCK)}
    decision = world.take(Seen(status=Status.CONFIRMING, word="Confirming"))
    assert (decision.verdict, world.agenda) == ("contradiction", {})


def test_an_order_whose_account_was_not_reached_still_ends_at_create_before():
    world = World(new_invoice(create_before=START + timedelta(seconds=500)), new_policy())
    world.take(CredentialsRefused(reason="no"), Stage.CREATE)
    world.take(Unreachable(reason="refused"), Stage.CREATE)
    assert (world.due(Stage.CLOCK), world.invoice.reason, world.invoice.refused_since) == (500, None, None)
