"""What is paid after the expiry counts, or waits for a person: the account says which."""

from __future__ import annotations

from decimal import Decimal

import pytest

from domain.account import Account
from domain.against import CONTRADICTION
from domain.decision import Stage
from domain.evidence import CalledBack, ClockRanOut, Created, Marked, Seen, Unreachable
from domain.status import Status
from tests.invoice_world import World, new_invoice, new_policy


def expired(late_payment="hold", **policy):
    world = World(new_invoice(), new_policy(late_payment=late_payment, **policy))
    world.take(Created(provider_ref="77"), held=Stage.CREATE)
    world.pass_time(3600)
    world.take(ClockRanOut(), held=Stage.CLOCK)
    look(world, "pending")
    assert world.invoice.status == "expired"
    world.pass_time(60)
    return world


def seen(status, **fields):
    return Seen(status=Status(status), word=status.title(), **fields)


def story(world):
    return [event.removeprefix("invoice.") for _, event, _ in world.told]


def look(world, status, **fields):
    return world.take(seen(status, asked_at=world.now, **fields), held=Stage.CHECK)


def test_it_settles_unless_the_account_says_otherwise():
    world = expired("settle")

    assert look(world, "paid").event == "invoice.paid"
    assert world.invoice.anomaly == "late"


def test_held_it_stays_expired_with_anomaly_late_and_is_told_once_until_a_mark():
    world = expired()

    decision = look(world, "paid", paid_amount=Decimal("0.30"))
    assert (decision.verdict, decision.event) == ("contradiction", CONTRADICTION)
    assert decision.note == "late_payment: the provider says Paid, after it expired"
    assert (world.invoice.status, world.invoice.anomaly, world.invoice.paid_amount) == (
        "expired",
        "late",
        Decimal("0.30"),
    )
    assert world.agenda == {}  # nobody but a person goes on with it
    assert look(world, "paid").event is None
    world.pass_time(40 * 86_400)
    assert world.take(Marked(status=Status.PAID, reason="we deliver", by="bob")).event == "invoice.paid"
    assert (world.invoice.anomaly, world.invoice.paid_amount) == ("late", Decimal("0.30"))
    assert story(world) == ["pending", "expired", "contradiction", "paid"]


def test_held_a_late_payment_that_confirms_is_watched_until_it_is_certain():
    world = expired()

    assert look(world, "confirming").event == CONTRADICTION
    assert (world.invoice.status, world.due(Stage.CHECK) is not None) == ("expired", True)
    world.pass_time(300)
    assert look(world, "confirming").event is None
    assert look(world, "paid").verdict == "contradiction"
    assert world.agenda == {}


def test_held_what_confirmed_before_the_expiry_is_not_late():
    world = World(new_invoice(), new_policy(late_payment="hold"))
    world.take(Created(provider_ref="77"), held=Stage.CREATE)
    look(world, "confirming")
    world.pass_time(4000)

    assert look(world, "paid").event == "invoice.paid"
    assert world.invoice.anomaly is None


@pytest.mark.parametrize(("before", "event"), [(60, "invoice.paid"), (-60, CONTRADICTION)])
def test_held_a_callback_that_stands_alone_counts_by_when_it_came(before, event):
    policy = new_policy(late_payment="hold", asked_by_reference=True, callback_grace_minutes=Decimal(10))
    world = World(new_invoice(), policy)
    world.take(Created(provider_ref="77"), held=Stage.CREATE)
    called = CalledBack(status=Status.PAID, word="COMPLETED", reference="7")
    world.pass_time(3600 - max(before, 0))
    if before > 0:
        world.take(called)
        world.pass_time(before)
    world.take(ClockRanOut(), held=Stage.CLOCK)
    world.pass_time(20)
    world.take(ClockRanOut(), held=Stage.CLOCK)
    if before < 0:
        world.pass_time(-before)
        world.take(called)
    assert world.invoice.status == "expired"
    world.pass_time(601)

    assert world.take(Unreachable(reason="away"), held=Stage.CHECK).event == event


def test_an_account_takes_these_two_words_only():
    given = {"name": "shop", "provider": "nebulox", "base_url": "http://localhost", "api_key": "k"}
    assert Account.model_validate(given).late_payment == "settle"
    assert Account.model_validate({**given, "late_payment": "hold"}).late_payment == "hold"
    with pytest.raises(ValueError, match="late_payment"):
        Account.model_validate({**given, "late_payment": "refund"})
