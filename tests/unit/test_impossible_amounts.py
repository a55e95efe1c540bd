"""What is said to be paid and can't be: it never pays, though nobody knows what was asked for."""

from __future__ import annotations

from decimal import Decimal

import pytest

from domain.decision import Stage
from domain.evidence import CalledBack, Created, Seen
from domain.status import Status
from tests.invoice_world import World, new_invoice, new_policy


def test_an_answer_that_says_paid_and_that_nothing_was_paid_is_a_contradiction():
    world = World(new_invoice(status="pending", provider_ref="1"), new_policy())
    decision = world.take(Seen(status=Status.PAID, word="COMPLETED", paid_amount=Decimal(0)), Stage.CHECK)
    assert (decision.verdict, decision.note) == ("contradiction", "amount: 0 was paid")
    assert world.invoice.status == "pending"


@pytest.mark.parametrize("status", [Status.PAID, Status.PARTIALLY_PAID])
def test_a_callback_whose_amount_can_not_be_one_does_not_pay_where_nobody_can_be_asked(status):
    world = World(new_invoice(), new_policy(can_be_asked=False))
    world.take(Created(provider_ref="1"), Stage.CREATE)
    decision = world.take(CalledBack(status=status, word="WORD", only=True, paid_amount=Decimal(0)))
    assert (decision.verdict, decision.note) == ("contradiction", "amount: the callback's is no number above 0")
    assert world.invoice.status == "pending"
