"""Payments of an invoice: which evidence tells of the same one, what their amounts add up to, what they settled."""

from __future__ import annotations

import itertools
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from domain.decision import Stage
from domain.evidence import CalledBack, CancelRequested, ClockRanOut, Created, Seen, Unreadable
from domain.ledger import Ledger, shown
from domain.payments import Sighting, transaction_key
from domain.status import Anomaly, Status
from tests.invoice_world import START, new_invoice, new_policy
from tests.payment_world import PayingWorld, mark, row

CODE, TX, OTHER_TX = "10000", "cf2e" * 16, "ab12" * 16
ASKED = Decimal("6.9")


def nebulox(**fields):
    """A pending invoice that can be asked only by what a callback brings."""
    world = PayingWorld(new_invoice(price=Decimal(10), currency="EUR", **fields), new_policy(asked_by_reference=True))
    world.take(Created(provider_ref="9a1c", pay_amount=ASKED, pay_currency="BTC"), Stage.CREATE)
    return world


def zeroxhost(**policy):
    """A pending invoice of a provider that is asked by its own id."""
    world = PayingWorld(new_invoice(), new_policy(**policy))
    world.take(Created(provider_ref="110816020", pay_amount=ASKED, pay_currency="ETH"), Stage.CREATE)
    return world


def called(word="COMPLETED", status=Status.PAID, **fields):
    given: dict[str, Any] = {"reference": CODE, "tx_hash": TX, "paid_amount": ASKED}
    return CalledBack(status=status, word=word, **given | fields)


def found(status=Status.PAID, **fields):
    return Seen(status=status, word=status.value, **({"reference": CODE} | fields))


def amounts(world):
    return [str(one.amount) for one in world.payments]


def test_a_callback_and_the_look_up_that_confirms_it_are_one_payment():
    world = nebulox()
    world.take(called())
    (seen,) = world.payments
    assert row(seen, "source", "tx_hash", "settled_status") == ("callback", TX, None)

    world.pass_time(3)
    world.take(found(provider_ref="9a1c", paid_amount=ASKED), Stage.CHECK)

    (paid,) = world.payments
    assert row(paid, "tx_hash", "reference", "amount", "amount_told") == (TX, CODE, ASKED, 1)
    assert row(paid, "settled_status", "settled_by", "settled_sequence") == ("paid", "look-up", world.invoice.sequence)
    assert (paid.first_seen_at, paid.last_seen_at) == (START, START + timedelta(seconds=3))


def test_the_same_transaction_seen_again_moves_only_the_time_it_was_last_seen():
    world = zeroxhost()
    world.take(found(Status.CONFIRMING, tx_hash=TX, reference=None), Stage.CHECK)
    (first,) = world.payments
    world.pass_time(60)
    world.take(found(Status.CONFIRMING, tx_hash=TX, reference=None), Stage.CHECK)
    (again,) = world.payments
    assert again.last_seen_at == first.last_seen_at + timedelta(seconds=60)
    first.last_seen_at = again.last_seen_at
    assert again == first


def test_a_transaction_is_the_same_however_its_hexadecimal_digits_are_written():
    spellings = ["0xAB12", "ab12", " 0xab12 "]
    assert len({transaction_key(one) for one in spellings}) == 1
    assert transaction_key("5VERv8NMvzbJMEkV8xnrLkEaWRtSz9") != transaction_key("5verv8nmvzbjmekv8xnrlkeawrtsz9")
    assert len(transaction_key("x" * 5000)) < 160


def test_a_partial_payment_that_grows_without_a_transaction_is_one_payment():
    world = nebulox()
    for total in ("2", "3.5"):
        world.take(called("PARTIAL", Status.PARTIALLY_PAID, tx_hash=None, paid_amount=Decimal(total)))
        world.take(found(Status.PARTIALLY_PAID, paid_amount=Decimal(total)), Stage.CHECK)
    (partial,) = world.payments
    assert row(partial, "amount", "settled_status", "status") == (Decimal("3.5"), "partially_paid", "partially_paid")


def test_totals_of_several_transactions_become_amounts_that_may_be_summed():
    world = nebulox()
    world.take(called("PARTIAL", Status.PARTIALLY_PAID, paid_amount=Decimal(3)))
    world.take(found(Status.PARTIALLY_PAID, paid_amount=Decimal(3)), Stage.CHECK)
    world.pass_time(1)
    world.take(called(tx_hash=OTHER_TX))
    world.take(found(paid_amount=ASKED), Stage.CHECK)
    assert [row(one, "tx_hash", "amount") for one in world.payments] == [(TX, Decimal(3)), (OTHER_TX, Decimal("3.9"))]
    assert sum(one.amount for one in world.payments) == world.invoice.paid_amount


def test_what_a_look_up_knows_beyond_the_transactions_told_is_a_payment_too():
    world = nebulox()
    world.take(called("PARTIAL", Status.PARTIALLY_PAID, paid_amount=Decimal(3)))
    world.pass_time(1)
    world.take(found(paid_amount=ASKED), Stage.CHECK)
    assert amounts(world) == ["3", "3.9"]


def test_several_tracking_codes_are_several_payments():
    world = nebulox(doubts=1)
    world.take(called())
    world.pass_time(1)
    world.take(called(reference="10001", tx_hash=OTHER_TX))
    twin = found(reference="10001", provider_ref="9a1d", order_id="order-1", price=Decimal(10), paid_amount=ASKED)
    world.take(found(provider_ref="9a1c", paid_amount=ASKED, others=(twin,)), Stage.CHECK)
    assert [row(one, "reference", "amount") for one in world.payments] == [(CODE, ASKED), ("10001", ASKED)]


def test_what_is_found_under_another_reference_counts_only_where_it_is_about_this_order():
    world = nebulox()
    world.take(called(reference="10001", status=Status.PENDING, word="PENDING"))
    foreign = found(reference="10001", order_id="order-2", paid_amount=ASKED)
    world.take(found(provider_ref="9a1c", paid_amount=ASKED, others=(foreign,)), Stage.CHECK)
    assert [one.reference for one in world.payments] == [CODE]


def test_a_hash_that_comes_later_completes_the_payment_and_keeps_its_number():
    ledger = Ledger()
    ledger.see(Sighting(source="look-up", status=Status.PAID, at=START, reference=CODE)).id = 7
    ledger.reckon(ASKED)
    later = START + timedelta(minutes=5)
    ledger.see(Sighting(source="callback", status=Status.PAID, at=later, reference=CODE, tx_hash=TX))
    ledger.reckon(ASKED)
    (paid,) = shown(list(ledger.rows.values()))
    assert row(paid, "id", "tx_hash", "amount", "amount_told") == (7, TX, ASKED, 0)
    assert row(paid, "first_seen_at", "last_seen_at") == (START, later)


def test_a_payment_that_was_settled_before_its_hash_came_stays_settled():
    world = zeroxhost()
    world.take(found(reference=None), Stage.CHECK)
    world.take(found(reference=None, tx_hash=TX))
    (paid,) = world.payments
    assert row(paid, "tx_hash", "settled_status", "settled_event") == (TX, "paid", "evt_2")


def test_a_provider_that_tells_no_amount_was_paid_what_was_asked():
    world = zeroxhost()
    world.take(found(reference=None, tx_hash=TX), Stage.CHECK)
    (paid,) = world.payments
    assert row(paid, "amount", "amount_told") == (ASKED, 0)


@pytest.mark.parametrize("word", [Status.PARTIALLY_PAID, Status.CONFIRMING])
def test_nothing_paid_is_no_payment_whatever_the_word(word):
    world = nebulox()
    world.take(called(status=word, word="PARTIAL", paid_amount=Decimal(0)))
    assert world.payments == []


def test_what_was_underpaid_at_the_expiry_is_a_payment():
    world = zeroxhost()
    world.take(found(Status.EXPIRED, anomaly=Anomaly.UNDERPAID, reference=None), Stage.CHECK)
    (partial,) = world.payments
    assert row(partial, "status", "amount", "settled_status") == ("partially_paid", None, "expired")


def test_a_late_payment_settles_the_expired_invoice():
    world = zeroxhost()
    world.pass_time(3600)
    for _ in range(2):
        world.take(ClockRanOut(), Stage.CLOCK)
        world.pass_time(10)
    assert world.invoice.status == "expired"
    world.take(found(reference=None, tx_hash=TX), Stage.CHECK)
    (late,) = world.payments
    assert (world.invoice.anomaly, late.settled_status) == ("late", "paid")


def test_a_late_payment_that_is_held_has_settled_nothing_until_a_person_marks_it():
    world = zeroxhost(late_payment="hold")
    world.pass_time(3700)
    world.take(ClockRanOut(), Stage.CLOCK)
    world.pass_time(20)
    world.take(ClockRanOut(), Stage.CLOCK)
    world.take(found(reference=None, tx_hash=TX), Stage.CHECK)
    (held,) = world.payments
    assert (world.invoice.status, held.settled_status) == ("expired", None)

    world.take(mark(Status.PAID))
    (settled,) = world.payments
    assert row(settled, "tx_hash", "settled_status", "settled_by", "amount") == (TX, "paid", "mark", ASKED)


def test_a_mark_without_any_payment_seen_is_a_payment_of_its_own():
    world = zeroxhost()
    world.take(mark(Status.PAID, paid_amount=Decimal("6.5")))
    (marked,) = world.payments
    assert row(marked, "source", "amount", "amount_told", "settled_by") == ("mark", Decimal("6.5"), 1, "mark")


def test_a_mark_stands_for_what_no_provider_tells_of():
    world = nebulox()
    world.take(called("PARTIAL", Status.PARTIALLY_PAID, paid_amount=Decimal(3)))
    world.take(found(Status.PARTIALLY_PAID, paid_amount=Decimal(3)), Stage.CHECK)
    world.take(mark(Status.PAID, paid_amount=ASKED))
    assert {row(one, "source", "amount") for one in world.payments} == {
        ("callback", Decimal(3)),
        ("mark", Decimal("3.9")),
    }


def test_a_mark_that_changes_nothing_is_no_payment():
    world = zeroxhost()
    world.take(found(reference=None, tx_hash=TX), Stage.CHECK)
    world.take(mark(Status.PAID))
    assert len(world.payments) == 1


def test_a_refund_is_a_row_of_its_own_and_gives_back_what_was_paid():
    world = zeroxhost()
    world.take(found(reference=None, tx_hash=TX), Stage.CHECK)
    world.take(found(Status.REFUNDED, reference=None), Stage.CHECK)
    paid, refund = world.payments
    assert (paid.kind, refund.kind) == ("payment", "refund")
    assert row(refund, "amount", "amount_told", "settled_status") == (ASKED, 0, "refunded")
    assert paid.settled_status == "paid"


def test_a_callback_that_comes_to_stand_alone_has_settled_the_payment_it_told_of():
    world = nebulox()
    world.take(called())
    world.pass_time(301)
    world.take(Unreadable(reason="404", asked_at=world.now), Stage.CHECK)
    (alone,) = world.payments
    assert world.invoice.status == "paid"
    assert row(alone, "tx_hash", "settled_status", "settled_by") == (TX, "paid", "callback")


def test_a_payment_too_small_or_in_another_coin_is_kept_and_settles_nothing():
    world = nebulox()
    world.take(called(reference=None, paid_amount=Decimal("0.01"), pay_currency="BTC"))
    (claimed,) = world.payments
    assert world.invoice.status == "pending"
    assert row(claimed, "amount", "asset", "settled_status") == (Decimal("0.01"), "BTC", None)


@pytest.mark.parametrize(
    "wrong", [{"order_id": "order-2"}, {"provider_ref": "other"}, {"price": Decimal(11)}, {"currency": "USD"}]
)
def test_an_answer_about_something_else_tells_of_no_payment(wrong):
    world = nebulox()
    world.take(called("PENDING", Status.PENDING))
    world.take(found(paid_amount=ASKED, **wrong), Stage.CHECK)
    assert world.payments == []


def test_a_callback_that_fits_several_invoices_tells_of_no_payment_of_this_one():
    world = nebulox()
    world.take(called(only=False))
    assert world.payments == []


def test_a_payment_for_a_cancelled_invoice_is_kept():
    world = zeroxhost()
    world.take(CancelRequested(reason="given up"))
    world.take(found(reference=None, tx_hash=TX), Stage.CHECK)
    (stray,) = world.payments
    assert row(stray, "tx_hash", "settled_status") == (TX, None)


def sighting(source, status, minutes, **fields):
    return Sighting(source=source, status=status, at=START + timedelta(minutes=minutes), reference=CODE, **fields)


def test_sightings_in_any_order_and_repeated_make_the_same_rows():
    partial, whole = Status.PARTIALLY_PAID, Status.PAID
    told = [
        sighting("callback", partial, 0, tx_hash=TX, total=Decimal(3)),
        sighting("look-up", partial, 1, total=Decimal(3)),
        sighting("callback", whole, 2, tx_hash=OTHER_TX),
        sighting("look-up", whole, 3, total=ASKED),
    ]
    ends = set()
    for order in itertools.permutations(told):
        ledger = Ledger()
        for one in (*order, *order[:2]):
            ledger.see(one)
            ledger.reckon(ASKED)
        ends.add(tuple(repr(one) for one in shown(list(ledger.rows.values()))))
    assert len(ends) == 1
