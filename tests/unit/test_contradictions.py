"""What is said against what is known is told once for each kind, and changes nothing else."""

from __future__ import annotations

import pytest

from domain.against import CONTRADICTION
from domain.evidence import CancelRequested, Created, Marked, Seen
from domain.status import Status
from tests.invoice_world import World, new_invoice, new_policy

PAID = Seen(status=Status.PAID, word="Paid")


def closed(status="cancelled", **given):
    return World(new_invoice(status=status, sequence=3, first_open=0, provider_ref="77", **given), new_policy())


def told(world):
    return [(event, sequence) for _, event, sequence in world.told]


def test_a_kind_is_told_once_and_each_in_the_invoices_sequence():
    world = closed()
    for evidence in (PAID, PAID, Seen(status=Status.PARTIALLY_PAID, word="PARTIAL"), Created(provider_ref="another")):
        assert world.take(evidence).verdict == "contradiction"
    world.take(PAID)

    assert told(world) == [(CONTRADICTION, 4), (CONTRADICTION, 5)]
    assert (world.invoice.sequence, world.invoice.contradicted) == (5, "status made")
    assert (world.invoice.status, world.invoice.reason) == ("cancelled", None)


@pytest.mark.parametrize(
    ("status", "evidence", "note"),
    [
        ("cancelled", PAID, "status: the provider says Paid, and it is cancelled"),
        ("paid", CancelRequested(reason="gone"), "cancel: the shop gives it up, and it is paid"),
        ("cancelled", Created(provider_ref="78"), "made: the provider made it as 78, and it is cancelled"),
        (
            "failed",
            Marked(status=Status.PAID, reason="seen", by="bob"),
            "mark: marked as paid by bob, and it is failed",
        ),
    ],
)
def test_each_says_what_does_not_fit(status, evidence, note):
    world = closed(status)
    assert world.take(evidence).note == note


def test_a_cancel_that_came_too_late_hides_no_payment_that_comes_later():
    world = closed("failed")
    world.take(CancelRequested(reason="gone"))
    world.take(PAID)

    assert [event for event, _ in told(world)] == [CONTRADICTION, CONTRADICTION]


def test_nobody_is_told_of_an_invoice_that_nobody_knows_of_yet():
    world = World(new_invoice(status="in_doubt", price=None, currency="EUR"), new_policy())

    decision = world.take(Seen(status=Status.PAID, word="Paid", currency="USD", provider_ref="77"))
    assert (decision.verdict, decision.event, world.invoice.sequence) == ("contradiction", None, 0)


def test_after_a_restore_its_sequence_is_above_what_was_told_too():
    from domain.lifecycle import decide

    world = closed()
    decision = decide(world.invoice, PAID, world.policy, world.now, epoch=1)
    assert decision.changes["sequence"] == 1_000_001
