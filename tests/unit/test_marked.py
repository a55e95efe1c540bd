"""What operators mark by hand is evidence like any other: the table of what may follow what, and what stays."""

from __future__ import annotations

from decimal import Decimal

import pytest

from domain.against import CONTRADICTION
from domain.decision import Stage
from domain.evidence import CalledBack, Created, Marked, RecheckRequested, Seen
from domain.marks import MARKS
from domain.status import FINAL, OPEN, Status
from tests.invoice_world import World, new_invoice, new_policy

#: What each status may be marked as. Whatever is not here leaves the invoice as it is.
MAY = {
    **{status: {Status.PAID, Status.FAILED, Status.CANCELLED} for status in OPEN},
    Status.EXPIRED: {Status.PAID},
    Status.PAID: {Status.REFUNDED},
}


def marked(status, amount=None):
    return Marked(status=status, reason="the bank says so", by="bob", paid_amount=amount)


def made(**given):
    policy = given.pop("policy", {})
    world = World(new_invoice(**given), new_policy(**policy))
    world.take(Created(provider_ref="77"), held=Stage.CREATE)
    return world


@pytest.mark.parametrize("target", MARKS)
@pytest.mark.parametrize("status", list(Status))
def test_only_what_the_table_names_follows(status, target):
    world = made()
    world.invoice.status = status.value
    world.invoice.first_open = int(status in OPEN)

    decision = world.take(marked(target))
    if target in MAY.get(status, ()):
        assert (decision.event, world.invoice.status) == (f"invoice.{target}", target.value)
        assert world.invoice.reason == "marked by bob: the bank says so"
        assert world.agenda == {}
    else:
        against = status in FINAL and target is not status
        assert (decision.verdict == "contradiction") == against
        assert (decision.event, world.invoice.status) == (CONTRADICTION if against else None, status.value)


def test_one_that_expired_is_paid_late_however_long_ago_that_was():
    world = made(policy={"monitor_minutes": Decimal(0)})
    world.invoice.status, world.invoice.first_open = "expired", 0
    world.pass_time(400 * 86_400)

    assert world.take(marked(Status.PAID, Decimal("3.10"))).event == "invoice.paid"
    assert (world.invoice.anomaly, str(world.invoice.paid_amount)) == ("late", "3.10")


@pytest.mark.parametrize(
    ("amount", "anomaly"),
    [(None, None), (Decimal("10.0"), None), (Decimal("9.99"), "underpaid"), (Decimal("10.01"), "overpaid")],
)
def test_an_amount_that_is_told_is_compared_and_kept(amount, anomaly):
    world = made(pay_amount=Decimal(10))

    world.take(marked(Status.PAID, amount))
    assert (world.invoice.anomaly, world.invoice.paid_amount) == (anomaly, amount)


@pytest.mark.parametrize(
    ("known", "told", "verdict", "says"),
    [
        (Decimal(10), None, "noted", "confirmed: it is paid, says bob"),
        (Decimal(10), Decimal("10.00"), "noted", "confirmed: it is paid, says bob"),
        (Decimal(10), Decimal(9), "contradiction", "mark: marked as paid with 9 by bob, and it is paid with 10"),
        (None, Decimal(9), "noted", "mark: marked as paid with 9 by bob, and it is paid"),
    ],
)
def test_a_second_mark_confirms_an_amount_and_never_changes_it(known, told, verdict, says):
    world = made(pay_amount=Decimal(10))
    world.take(marked(Status.PAID, known))

    decision = world.take(marked(Status.PAID, told))
    assert (decision.verdict, decision.note) == (verdict, says)
    assert decision.event == (CONTRADICTION if verdict == "contradiction" else None)
    assert (world.invoice.status, world.invoice.paid_amount) == ("paid", known)


def test_a_refund_keeps_what_was_unusual_about_the_payment():
    world = made(pay_amount=Decimal(10))
    world.take(marked(Status.PAID, Decimal(9)))
    world.take(marked(Status.REFUNDED, Decimal(9)))

    assert (world.invoice.status, world.invoice.anomaly) == ("refunded", "underpaid")


def test_what_is_marked_as_failed_is_not_paid_by_a_late_word():
    world = made()
    world.take(marked(Status.FAILED))

    assert world.take(Seen(status=Status.PAID, word="Paid")).verdict == "contradiction"
    assert world.invoice.status == "failed"


def test_a_recheck_asks_at_once_where_somebody_can_be_asked():
    world = made()
    assert world.due(Stage.CHECK) == 30

    assert world.take(RecheckRequested(reason="a customer called", by="bob")).verdict == "noted"
    assert world.due(Stage.CHECK) == 0


def test_what_a_recheck_finds_of_an_expired_one_that_nobody_watches_is_a_contradiction_for_a_person():
    world = made()
    world.invoice.status, world.invoice.first_open = "expired", 0

    world.take(RecheckRequested(reason="a customer called", by="bob"))
    assert world.due(Stage.CHECK) == 0
    assert world.take(Seen(status=Status.PAID, word="Paid"), held=Stage.CHECK).verdict == "contradiction"
    assert world.due(Stage.CHECK) is None


@pytest.mark.parametrize("status", ["paid", "cancelled", "failed", "refunded"])
def test_a_look_at_a_closed_one_is_the_only_one(status):
    world = made()
    world.invoice.status, world.invoice.first_open = status, 0

    world.take(RecheckRequested(reason="x", by="bob"))
    world.take(Seen(status=Status.PENDING, word="New"), held=Stage.CHECK)
    assert world.due(Stage.CHECK) is None


def test_where_nobody_can_be_asked_a_recheck_says_so():
    silent = made(policy={"can_be_asked": False})
    by_reference = made(policy={"asked_by_reference": True})
    queued = World(new_invoice(), new_policy())

    wish = RecheckRequested(reason="x", by="bob")
    for world, why in ((silent, "can't be asked"), (by_reference, "no callback"), (queued, "not made it")):
        decision = world.take(wish)
        assert (decision.verdict, why in (decision.note or "")) == ("ignored", True)
    by_reference.take(CalledBack(status=None, word="?", reference="7"))
    assert by_reference.take(wish).verdict == "noted"
