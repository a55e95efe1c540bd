"""An invoice is asked about by several references: an answer about somebody else's hides none of its own."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from domain.against import CONTRADICTION
from domain.decision import Stage
from domain.evidence import CalledBack, CancelRequested, ClockRanOut, Created, InDoubt, Seen, Unreadable
from domain.status import Status
from tests.invoice_world import World, new_invoice, new_policy
from tests.payment_world import PayingWorld

REF = "9a1c"
FOREIGN: list[dict[str, Any]] = [{"provider_ref": "other"}, {"owner": "inv_1"}, {"order_id": "order-2"}]
SIBLINGS: list[dict[str, Any]] = [*FOREIGN, {"price": Decimal(99)}, {"currency": "USD"}]


def made(kind: type[World] = World) -> Any:
    world = kind(new_invoice(price=Decimal(10), currency="EUR"), new_policy(asked_by_reference=True))
    world.take(Created(provider_ref=REF), held=Stage.CREATE)
    world.take(CalledBack(status=Status.PAID, word="COMPLETED", reference="100"))
    world.take(CalledBack(status=Status.PAID, word="COMPLETED", reference="200"))
    return world


def seen(status: Status, reference: str = "100", **fields: Any) -> Seen:
    given: dict[str, Any] = {"provider_ref": REF, "order_id": "order-1", "price": Decimal(10), "currency": "EUR"}
    return Seen(status=status, word=str(status), reference=reference, **(given | fields))


def look(world: Any, first: Seen, *others: Seen) -> Any:
    return world.take(replace(first, others=others), held=Stage.CHECK)


@pytest.mark.parametrize("wrong", SIBLINGS, ids=str)
def test_its_own_paid_answer_pays_though_another_is_about_somebody_else(wrong):
    world = made()
    decision = look(world, seen(Status.PAID, **wrong), seen(Status.PAID, "200"))
    assert (decision.event, world.invoice.status, world.invoice.called_status) == ("invoice.paid", "paid", None)


@pytest.mark.parametrize("wrong", FOREIGN, ids=str)
@pytest.mark.parametrize("status", [Status.PARTIALLY_PAID, Status.CONFIRMING, Status.EXPIRED], ids=str)
def test_so_does_any_other_news_of_its_own(status, wrong):
    world = made()
    assert look(world, seen(Status.PAID, **wrong), seen(status, "200")).event == f"invoice.{status}"


def test_a_callback_that_was_perhaps_about_somebody_else_s_stands_alone_no_more():
    world = made()
    look(world, seen(Status.PAID, owner="inv_1"), seen(Status.CONFIRMING, "200"))
    assert world.due(Stage.CHECK) == 1  # it is still a reason to look
    world.pass_time(600)
    assert world.take(Unreadable(reason="404"), held=Stage.CHECK).event is None
    assert world.invoice.status == "confirming"


def test_of_its_own_answers_the_one_that_says_most_counts():
    world = made()
    own = seen(Status.PENDING, "200"), seen(Status.CONFIRMING, "300"), seen(Status.PARTIALLY_PAID, "400")
    assert look(world, seen(Status.PAID, owner="inv_1"), *own).event == "invoice.confirming"


@pytest.mark.parametrize("wrong", FOREIGN, ids=str)
def test_where_its_own_says_not_yet_somebody_else_s_payment_is_nobody_s_word_for_it(wrong):
    world = made()
    decision = look(world, seen(Status.PAID, **wrong), seen(Status.PENDING, "200"))
    assert (decision.event, world.invoice.status, world.invoice.called_status) == (None, "pending", None)
    assert world.due(Stage.CHECK) is not None
    assert look(world, seen(Status.PAID, **wrong), seen(Status.PAID, "200")).event == "invoice.paid"


@pytest.mark.parametrize("wrong", FOREIGN, ids=str)
def test_where_none_is_its_own_nothing_is_paid(wrong):
    world = made()
    decision = look(world, seen(Status.PAID, **wrong), seen(Status.PAID, "200", owner="inv_3"))
    assert (decision.verdict, decision.event, world.invoice.status) == ("contradiction", CONTRADICTION, "pending")


@pytest.mark.parametrize(
    ("wrong", "kind"),
    [({"price": Decimal(99)}, "price"), ({"paid_amount": Decimal(1), "pay_amount": Decimal(9)}, "amount")],
)
def test_a_payment_that_does_not_fit_is_told_though_another_answer_says_not_yet(wrong, kind):
    world = made()
    decision = look(world, seen(Status.PAID, **wrong), seen(Status.PENDING, "200"))
    assert (decision.event, world.invoice.status) == (CONTRADICTION, "pending")
    assert decision.note.startswith(f"{kind}: ")
    assert world.due(Stage.CHECK) is not None


def test_the_last_look_expires_it_by_its_own_answer():
    world = made()
    world.pass_time(3600)
    world.take(ClockRanOut(), held=Stage.CLOCK)
    first = seen(Status.PAID, owner="inv_1", asked_at=world.now)
    assert look(world, first, seen(Status.PENDING, "200")).event == "invoice.expired"


def test_one_in_doubt_is_adopted_by_its_own_answer():
    world = World(new_invoice(price=Decimal(10), currency="EUR"), new_policy(asked_by_reference=True))
    world.take(InDoubt(reason="lost"), held=Stage.CREATE)
    look(world, seen(Status.PAID, provider_ref="other", owner="inv_1"), seen(Status.PENDING, "200"))
    assert (world.invoice.status, world.invoice.provider_ref) == ("pending", REF)


def test_a_cancelled_one_that_is_paid_is_contradicted_in_the_words_of_its_own_answer():
    world = made()
    world.take(CancelRequested(reason="changed my mind"))
    decision = look(world, seen(Status.REFUNDED, owner="inv_1"), seen(Status.PAID, "200"))
    assert (decision.verdict, decision.note) == (
        "contradiction",
        "status: the provider says paid, and it is cancelled",
    )


@pytest.mark.parametrize("wrong", SIBLINGS, ids=str)
def test_somebody_else_s_payment_is_none_of_its_payments(wrong):
    world = made(PayingWorld)
    world.ledger.rows.clear()
    look(world, seen(Status.PAID, **wrong), seen(Status.PAID, "200"))
    assert [one.reference for one in world.payments] == ["200"]
