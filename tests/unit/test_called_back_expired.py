"""A callback that says expired or failed: when it decides, and when it only has the provider asked."""

from __future__ import annotations

from decimal import Decimal

from domain.decision import Stage
from domain.evidence import Unreadable
from domain.status import Status
from tests.unit.called_back_cases import called, made, verified


def expired_callback(**fields):
    return called("EXPIRED", Status.EXPIRED, **fields)


def test_an_expiry_that_a_callback_tells_of_needs_a_look_up_where_one_is_to_be_had():
    world = made()
    assert world.take(expired_callback()).event is None
    world.pass_time(600)
    assert world.take(verified("PENDING", Status.PENDING), held=Stage.CHECK).event is None
    assert world.take(Unreadable(reason="HTTP 404"), held=Stage.CHECK).event is None  # answered a moment ago
    assert world.take(verified("EXPIRED", Status.EXPIRED), held=Stage.CHECK).event == "invoice.expired"
    assert world.invoice.called_status is None


def test_where_no_look_up_is_to_be_had_a_callback_expires_an_invoice_before_our_own_time_is_over():
    world = made()
    world.take(expired_callback())
    assert world.take(Unreadable(reason="HTTP 404"), held=Stage.CHECK).event is None
    world.pass_time(5 * 60)

    assert world.take(Unreadable(reason="HTTP 404"), held=Stage.CHECK).event == "invoice.expired"
    assert "stood alone" in world.invoice.reason
    assert world.invoice.called_status is None
    assert world.take(verified(), held=Stage.CHECK).event == "invoice.paid"  # it is still watched
    assert world.invoice.anomaly == "late"


def test_an_old_payload_that_tells_of_the_expiry_decides_at_once():
    world = made()
    assert world.take(expired_callback(reference=None)).event == "invoice.expired"
    assert world.agenda == {}

    assert world.take(expired_callback(reference=None)).event is None
    assert world.take(called(reference=None)).event == "invoice.paid"
    assert world.invoice.anomaly == "late"


def test_of_a_part_that_was_paid_the_expiry_says_underpaid():
    world = made()
    world.take(called("PARTIAL", Status.PARTIALLY_PAID, reference=None, paid_amount=Decimal("0.1")))
    assert world.take(expired_callback(reference=None)).event == "invoice.expired"
    assert (world.invoice.anomaly, world.invoice.paid_amount) == ("underpaid", Decimal("0.1"))


def test_of_an_order_with_several_invoices_none_is_expired_by_a_callback_alone():
    assert made().take(expired_callback(reference=None, only=False)).event is None


def test_an_expiry_in_another_coin_decides_nothing_and_contradicts_nothing():
    world = made(pay_currency="BTC")
    decision = world.take(expired_callback(reference=None, pay_currency="LTC"))
    assert (decision.verdict, decision.event, world.invoice.status) == ("noted", None, "pending")


def test_a_payment_that_a_callback_claims_is_not_outweighed_by_one_that_says_expired():
    world = made()
    world.take(called())
    assert world.take(expired_callback()).event is None
    world.pass_time(5 * 60)
    assert world.take(Unreadable(reason="HTTP 404"), held=Stage.CHECK).event == "invoice.paid"


def test_a_failure_that_a_callback_tells_of_waits_for_a_look_up():
    assert made().take(called("FAILED", Status.FAILED, reference=None)).event is None
