"""A payment that a callback told of is not forgotten with the invoice that is closed or made before it is confirmed."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest

from domain.against import CONTRADICTION
from domain.decision import Stage
from domain.evidence import (
    CalledBack,
    CancelRequested,
    ClockRanOut,
    Created,
    CredentialsRefused,
    Found,
    InDoubt,
    Marked,
    OrderRefused,
    Seen,
    Unreachable,
    Unreadable,
)
from domain.status import Status
from tests.invoice_world import START, World, new_invoice, new_policy

SAID = "status: the callback says COMPLETED"
CANCELLED = [CancelRequested(reason="no"), Marked(status=Status.CANCELLED, reason="no", by="bob")]
FAILED = [Marked(status=Status.FAILED, reason="no", by="bob"), Seen(status=Status.FAILED, word="FAILED")]


def called(status=Status.PAID, word="COMPLETED", **fields):
    return CalledBack(status=status, word=word, **fields)


def queued(policy=None, **given):
    return World(new_invoice(price=Decimal("12.50"), currency="EUR", **given), new_policy(**policy or {}))


def made(**policy):
    world = queued(policy)
    world.take(Created(provider_ref="9a1c"), held=Stage.CREATE)
    return world


def events(world):
    return [event for _, event, _ in world.told]


@pytest.mark.parametrize("evidence", [*CANCELLED, *FAILED], ids=lambda one: f"{type(one).__name__}-{one!r:.40}")
@pytest.mark.parametrize("looks", [[], [Unreadable(reason="404")], [Seen(status=Status.PENDING, word="Waiting")]])
@pytest.mark.parametrize("status", ["pending", "partially_paid", "confirming"])
@pytest.mark.parametrize("only", [True, False])
def test_what_closes_an_invoice_is_followed_by_the_contradiction(evidence, looks, status, only):
    world = made()
    world.invoice.status = status
    world.take(called(only=only))
    for look in looks:
        world.take(look, held=Stage.CHECK)
    decision = world.take(evidence)
    for look in looks:  # of a look-up that was under way
        world.take(look)

    assert decision.verdict == "applied"
    closed = f"invoice.{world.invoice.status}"
    assert events(world)[-2:] == [closed, CONTRADICTION]
    assert [sequence for *_, sequence in world.told] == list(range(1, len(world.told) + 1))
    assert (world.against, world.agenda, world.invoice.called_status) == ([SAID], {}, None)


def test_a_late_look_up_that_says_paid_too_is_listed_and_not_told_once_more():
    world = made()
    world.take(called())
    world.take(CancelRequested(reason="no"))
    world.take(Seen(status=Status.PAID, word="Paid"))

    assert events(world) == ["invoice.pending", "invoice.cancelled", CONTRADICTION]
    assert world.against == [SAID, "status: the provider says Paid, and it is cancelled"]


def test_a_payment_that_grew_is_told_and_one_that_is_confirmed_is_not():
    world = made()
    world.take(called(Status.PARTIALLY_PAID, "PARTIAL"))
    world.take(Seen(status=Status.PARTIALLY_PAID, word="PARTIAL"), held=Stage.CHECK)
    world.take(CancelRequested(reason="no"))

    assert (world.against, events(world)[-1]) == ([], "invoice.cancelled")


@pytest.mark.parametrize(("status", "word"), [(Status.EXPIRED, "EXPIRED"), (None, "WEIRD"), (Status.PENDING, "New")])
def test_a_word_that_speaks_of_no_money_is_forgotten_without_a_contradiction(status, word):
    world = made()
    world.take(called(status, word))
    world.take(CancelRequested(reason="no"))

    assert (world.against, events(world)[-1]) == ([], "invoice.cancelled")


@pytest.mark.parametrize("evidence", [OrderRefused(reason="no"), CredentialsRefused(reason="401"), *CANCELLED])
def test_an_order_that_is_never_made_is_closed_with_the_contradiction(evidence):
    world = queued({"hold_refused_minutes": Decimal(0)})
    world.take(called())
    world.take(evidence, held=Stage.CREATE)

    assert events(world) == [f"invoice.{world.invoice.status}", CONTRADICTION]
    assert world.against == [SAID]


@pytest.mark.parametrize(("evidence", "stage"), [(ClockRanOut(), Stage.CLOCK), (Unreachable(reason="x"), Stage.CREATE)])
def test_an_order_that_comes_too_late_is_failed_with_the_contradiction(evidence, stage):
    world = queued(create_before=START + timedelta(minutes=1))
    world.take(called())
    world.pass_time(61)
    world.take(evidence, held=stage)

    assert (events(world), world.invoice.reason) == (["invoice.failed", CONTRADICTION], "too_late")
    assert world.against == [SAID]


def test_an_order_in_doubt_that_is_given_up_is_told_with_what_contradicted_it_before():
    world = queued({"on_doubt": "hold", "asked_by_reference": True}, pay_currency="BTC")
    world.take(InDoubt(reason="no answer"), held=Stage.CREATE)
    world.take(called(pay_currency="LTC"))
    world.take(called(pay_currency="BTC", reference="100061"))
    world.take(CancelRequested(reason="no"))

    assert events(world) == ["invoice.cancelled", CONTRADICTION, CONTRADICTION]
    assert world.against == ["coin: the callback's is LTC", SAID]


@pytest.mark.parametrize("monitor_minutes", [Decimal(0), Decimal(1)])
def test_an_invoice_that_expires_is_still_looked_at_for_what_a_callback_said_just_before(monitor_minutes):
    world = made(monitor_minutes=monitor_minutes)
    world.pass_time(3599)
    world.take(called())
    world.pass_time(1)
    world.take(ClockRanOut(), held=Stage.CLOCK)
    world.take(Seen(status=Status.PENDING, word="Waiting", asked_at=world.now), held=Stage.CHECK)

    assert world.invoice.status == "expired"
    assert world.due(Stage.CHECK) == 1
    assert world.take(Seen(status=Status.PAID, word="Paid"), held=Stage.CHECK).event == "invoice.paid"


def let_it_end(world):
    """Everything is done when it is due; no look-up confirms anything."""
    for _ in range(300):
        if not world.agenda:
            break
        stage, row = min(world.agenda.items(), key=lambda item: item[1].due_at)
        world.now = max(world.now, row.due_at)
        not_yet = Seen(status=Status.PENDING, word="Waiting", asked_at=world.now)
        world.take(ClockRanOut() if stage is Stage.CLOCK else not_yet, held=stage)


@pytest.mark.parametrize("monitor_minutes", [Decimal(0), Decimal(10)])
def test_where_nobody_confirms_it_before_the_watch_ends_it_is_a_contradiction(monitor_minutes):
    world = made(monitor_minutes=monitor_minutes)
    world.take(called(only=False))
    let_it_end(world)

    assert events(world) == ["invoice.pending", "invoice.expired", CONTRADICTION]
    assert world.against == ["status: a callback said COMPLETED, and no look-up confirmed it"]


@pytest.mark.parametrize("policy", [{"can_be_asked": False}, {"asked_by_reference": True}])
@pytest.mark.parametrize("monitor_minutes", [Decimal(0), Decimal(10)])
def test_what_may_be_another_ones_waits_for_a_person_where_nobody_can_be_asked(policy, monitor_minutes):
    world = made(monitor_minutes=monitor_minutes, **policy)
    world.take(called(only=False))
    let_it_end(world)

    assert events(world) == ["invoice.pending", "invoice.expired"]
    assert (world.against, world.given_back) == ([], 1)


def test_an_answer_after_the_watch_leaves_the_clock_to_tell_what_nobody_confirmed():
    world = made(monitor_minutes=Decimal(0))
    world.take(called())
    world.pass_time(3600)
    world.take(Seen(status=Status.EXPIRED, word="Expired"), held=Stage.CHECK)
    world.pass_time(3600)
    world.take(Seen(status=Status.PENDING, word="Waiting"), held=Stage.CHECK)
    world.take(ClockRanOut(), held=Stage.CLOCK)

    assert events(world) == ["invoice.pending", "invoice.expired", CONTRADICTION]


# ---------------------------------------------------------------- the answer to a create


@pytest.mark.parametrize(
    ("claim", "kind"),
    [
        ({"pay_currency": "DOGE"}, "coin"),
        ({"pay_currency": "LTC", "paid_amount": Decimal(1)}, "coin"),
        ({"pay_currency": "BTC", "paid_amount": Decimal("0.5")}, "amount"),
        ({"pay_currency": "DOGE", "status": Status.PARTIALLY_PAID}, "coin"),
        ({"pay_currency": "DOGE", "status": Status.CONFIRMING}, "coin"),
    ],
)
@pytest.mark.parametrize("answer", [Created, Found])
def test_an_order_is_made_whatever_a_callback_before_the_answer_says_against_it(claim, kind, answer):
    world = queued({"asked_by_reference": True}, pay_currency="BTC", pay_amount=Decimal(1))
    world.take(called(**claim))
    world.take(answer(provider_ref="9a1c", address="bc1q"), held=Stage.CREATE)

    assert (world.invoice.status, world.invoice.provider_ref, world.invoice.address) == ("pending", "9a1c", "bc1q")
    assert (world.due(Stage.CLOCK), world.due(Stage.CREATE)) == (3600, None)
    assert events(world) == ["invoice.pending", CONTRADICTION]
    assert [note.partition(":")[0] for note in world.against] == [kind]
    assert world.invoice.called_status is None
    assert world.take(called(pay_currency="BTC", paid_amount=Decimal(1))).event == "invoice.paid"


def test_what_the_answer_says_is_to_be_paid_counts_against_a_callback_that_came_before_it():
    world = queued({"can_be_asked": False}, pay_currency="BTC")
    world.take(called(pay_currency="BTC", paid_amount=Decimal("0.1")))
    world.take(Created(provider_ref="9a1c", pay_amount=Decimal(1)), held=Stage.CREATE)

    assert events(world) == ["invoice.pending", CONTRADICTION]
    assert world.against == ["amount: the callback's is 0.1"]


@pytest.mark.parametrize("status", [Status.PENDING, Status.EXPIRED, Status.FAILED, Status.REFUNDED])
def test_a_word_that_can_t_pay_is_not_objected_to(status):
    world = queued({"asked_by_reference": True}, pay_currency="BTC")
    world.take(called(status, "Word", pay_currency="DOGE"))
    world.take(Created(provider_ref="9a1c"), held=Stage.CREATE)
    world.take(called(status, "Word", pay_currency="DOGE"))

    assert (events(world), world.against) == (["invoice.pending"], [])
    assert world.due(Stage.CLOCK) == 3600
