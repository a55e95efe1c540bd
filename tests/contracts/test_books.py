"""Lines of the books, on both databases: one for each payment, in one period, for good."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest
from sqlalchemy import text

from domain.books import Totals
from domain.evidence import CalledBack, CancelRequested, Unreadable
from domain.money import format_amount, total
from domain.status import Status
from tests.contracts.plan_cases import assert_by_index, copy_invoice, explained
from tests.contracts.store_cases import ACCOUNT, OPERATOR, SILENT_ACCOUNT, judge, open_store, pend, queue, seen
from workers.store.judging import Judgement
from workers.store.operate.invoices import Mark, mark
from workers.store.reads import books
from workers.store.reads.books import read_lines

ASKED = Decimal("0.0358619204")
SOON = timedelta(seconds=1)


def lines(store, since=None, until=None):
    return list(read_lines(store.database, since, until or store.database.time() + SOON))


def paying(store, count=1, **fields):
    given: dict[str, Any] = {"pay_amount": ASKED, "pay_currency": "ETH", "network": "Ethereum"}
    return pend(store, count, **(given | fields))


def called(status, **fields):
    return CalledBack(status=status, word=status.value, **fields)


def told(line):
    return line.kind, line.amount, line.assumed_amount, line.status, line.settled_by


def test_a_payment_is_one_line_with_what_the_provider_told(store):
    (invoice_id,) = paying(store, address="0xabc")
    judge(store, invoice_id, seen("paid", tx_hash="0xcf2e", paid_amount=ASKED))
    (line,) = lines(store)
    assert told(line) == ("payment", ASKED, None, "paid", "look-up")
    assert (line.invoice, line.account, line.said_by) == (invoice_id, ACCOUNT, "provider")
    assert (line.asset, line.network, line.transaction, line.address) == ("ETH", "Ethereum", "0xcf2e", "0xabc")
    assert (line.price, line.currency, line.anomaly) == (Decimal("10.50"), "EUR", None)
    assert (line.by, line.reason, line.fee, line.net) == (None, None, None, None)
    assert line.event is not None


def test_a_status_without_an_amount_is_a_line_whose_amount_is_assumed(store):
    (invoice_id,) = paying(store)
    judge(store, invoice_id, seen("paid"))
    (line,) = lines(store)
    assert told(line) == ("payment", None, ASKED, "paid", "look-up")


def test_a_payment_that_waits_for_confirmations_is_no_line_until_it_is_certain(store):
    (invoice_id,) = paying(store)
    judge(store, invoice_id, seen("confirming", tx_hash="0xcf2e", paid_amount=ASKED))
    assert lines(store) == []
    before = store.database.time()
    judge(store, invoice_id, seen("paid", tx_hash="0xcf2e", paid_amount=ASKED))
    (line,) = lines(store)
    assert line.at >= before


def test_a_callback_is_a_line_once_it_is_confirmed_or_decides_alone(store):
    (confirmed,) = paying(store)
    judge(store, confirmed, called(Status.PAID, tx_hash="0xcf2e", paid_amount=ASKED))
    assert lines(store) == []
    judge(store, confirmed, seen("paid", tx_hash="0xcf2e", paid_amount=ASKED))
    (alone,) = pend(store, account=SILENT_ACCOUNT, pay_amount=ASKED, pay_currency="ETH")
    judge(store, alone, called(Status.PAID, paid_amount=ASKED, pay_currency="ETH"))
    assert [(line.invoice, line.settled_by) for line in lines(store)] == [(confirmed, "look-up"), (alone, "callback")]


def test_parts_of_an_amount_are_lines_that_add_up(store):
    (invoice_id,) = paying(store)
    for number, so_far in enumerate(("0.01", "0.02", "0.0358619204")):
        word = "paid" if number == 2 else "partially_paid"
        judge(store, invoice_id, seen(word, tx_hash=f"0xcf2{number}", paid_amount=Decimal(so_far)))
    found = lines(store)
    assert [(line.kind, line.amount) for line in found] == [
        ("payment", Decimal("0.01")),
        ("payment", Decimal("0.01")),
        ("payment", Decimal("0.0158619204")),
    ]
    assert len({line.payment for line in found}) == 3
    assert [line.price for line in found] == [None, None, Decimal("10.50")], "a price stands once for each invoice"


def test_a_payment_that_grows_without_a_transaction_keeps_its_line_and_gets_corrections(store):
    (invoice_id,) = paying(store)
    judge(store, invoice_id, seen("partially_paid", paid_amount=Decimal("0.01")))
    (first,) = lines(store)
    judge(store, invoice_id, seen("partially_paid", paid_amount=Decimal("0.03")))
    judge(store, invoice_id, seen("paid", paid_amount=ASKED))
    found = lines(store)
    assert replace(found[0], status=first.status, settled_by=None, event=None) == replace(
        first, settled_by=None, event=None
    )
    assert [(line.kind, line.amount) for line in found[1:]] == [
        ("correction", Decimal("0.02")),
        ("correction", Decimal("0.0058619204")),
    ]
    assert {line.payment for line in found} == {first.payment}
    assert [line.price for line in found] == [None, None, Decimal("10.50")], "in the period in which it was paid"


def test_a_price_that_was_reported_stays_on_its_line_when_the_provider_tells_of_several_transactions(store):
    (invoice_id,) = paying(store)
    judge(store, invoice_id, seen("paid", paid_amount=ASKED))
    (first,) = lines(store)
    parts = seen("paid", tx_hash="0xa2", paid_amount=ASKED)
    judge(store, invoice_id, seen("paid", tx_hash="0xa1", paid_amount=Decimal("0.01"), others=(parts,)))
    found = lines(store)
    assert (found[0].line, found[0].amount, found[0].price) == (first.line, ASKED, first.price)
    assert [line.price for line in found[1:]] == [None, None]
    assert total(line.amount for line in found) == ASKED


def test_an_amount_that_a_provider_raises_after_it_was_paid_is_a_correction(store):
    (invoice_id,) = paying(store)
    judge(store, invoice_id, seen("paid", tx_hash="0xcf2e", paid_amount=ASKED))
    (line,) = lines(store)
    judge(store, invoice_id, seen("paid", tx_hash="0xcf2e", paid_amount=ASKED + 1))
    assert lines(store)[0] == line
    assert told(lines(store)[1])[:2] == ("correction", Decimal(1))


@pytest.mark.parametrize(
    ("paid", "status", "anomaly"), [("0.04", "paid", "overpaid"), ("0.01", "partially_paid", None)]
)
def test_too_much_and_too_little_are_lines_with_what_came(store, paid, status, anomaly):
    (invoice_id,) = paying(store)
    judge(store, invoice_id, seen(status, paid_amount=Decimal(paid)))
    (line,) = lines(store)
    assert (line.amount, line.status, line.anomaly) == (Decimal(paid), status, anomaly)


def test_money_for_a_cancelled_order_is_a_line_that_settled_nothing(store):
    (invoice_id,) = paying(store)
    judge(store, invoice_id, CancelRequested(reason="sold out"))
    judge(store, invoice_id, seen("paid", tx_hash="0xcf2e", paid_amount=ASKED))
    (line,) = lines(store)
    assert told(line) == ("payment", ASKED, None, "paid", None)
    assert (line.price, line.event) == (None, None)


def test_a_refund_is_below_zero_and_its_payment_stays(store):
    (invoice_id,) = paying(store)
    judge(store, invoice_id, seen("paid", paid_amount=ASKED))
    judge(store, invoice_id, seen("refunded"))
    paid, refund = lines(store)
    assert told(paid) == ("payment", ASKED, None, "paid", "look-up")
    assert told(refund) == ("refund", None, -ASKED, "refunded", "look-up")
    assert (paid.price, refund.price) == (Decimal("10.50"), None)


@pytest.mark.parametrize("amount", [None, Decimal("0.03")])
def test_a_mark_is_a_line_of_its_own_kind_with_who_and_why(store, amount):
    (invoice_id,) = paying(store)
    mark(store, OPERATOR, invoice_id, Mark(Status.PAID, amount))
    (line,) = lines(store)
    assert told(line) == ("mark", amount, None if amount else ASKED, "paid", "mark")
    assert (line.by, line.reason, line.said_by) == (OPERATOR.name, OPERATOR.reason, "person")


def test_a_mark_whose_payment_the_provider_tells_of_later_is_taken_back(store):
    (invoice_id,) = paying(store)
    mark(store, OPERATOR, invoice_id, Mark(Status.PAID, ASKED))
    before = lines(store)
    judge(store, invoice_id, seen("paid", tx_hash="0xcf2e", paid_amount=ASKED))
    found = lines(store)
    assert found[0] == before[0]
    assert sorted((line.kind, line.amount) for line in found[1:]) == [("correction", -ASKED), ("payment", ASKED)]
    assert sum(line.amount for line in found) == ASKED
    assert sum(line.price or 0 for line in found) == Decimal("10.50")


def test_adjoining_periods_have_each_line_once_and_are_the_same_again(store):
    ids = paying(store, 12)
    for one in ids:
        judge(store, one, seen("paid", paid_amount=ASKED))
    everything = lines(store)
    assert [line.at for line in everything] == sorted(line.at for line in everything)
    times = [everything[0].at - SOON, *(line.at for line in everything[::3]), everything[-1].at + SOON]
    parts = [line for since, until in pairwise(times) for line in lines(store, since, until)]
    assert parts == everything == lines(store)


def test_lines_of_one_instant_are_not_lost_between_pages(store, monkeypatch):
    monkeypatch.setattr(books, "PAGE", 3)
    ids = paying(store, 10)
    store.judge([Judgement(one, seen("paid", paid_amount=ASKED)) for one in ids])
    found = lines(store)
    assert sorted(line.invoice for line in found) == sorted(ids)
    assert len({line.at for line in found}) == 1


def test_payments_of_an_earlier_release_are_lines_of_when_they_were_first_seen(store):
    first, second, folded = paying(store, 3)
    judge(store, first, seen("paid", paid_amount=ASKED))
    judge(store, second, seen("confirming", paid_amount=ASKED))
    judge(store, folded, called(Status.PAID, reference="100"))
    judge(store, folded, seen("paid", tx_hash="0xcf2e", paid_amount=ASKED))
    with store.database.transaction() as connection:
        connection.execute(text("UPDATE payment SET booked_at = NULL, booked = NULL, booked_told = 0"))
    before = lines(store)
    assert [line.invoice for line in before] == [first, folded]
    judge(store, first, seen("paid", paid_amount=ASKED + 1))  # this release goes on with it
    kept, correction = (line for line in lines(store) if line.invoice == first)
    assert kept == before[0]
    assert (correction.kind, correction.amount) == ("correction", Decimal(1))


def test_a_payment_of_an_earlier_release_that_changes_while_the_report_is_read_is_one_line(store, monkeypatch):
    monkeypatch.setattr(books, "PAGE", 3)
    ids = paying(store, 8)
    for one in ids:
        judge(store, one, seen("paid", paid_amount=ASKED))
    with store.database.transaction() as connection:
        connection.execute(text("UPDATE payment SET booked_at = NULL, booked = NULL, booked_told = 0"))
    before = lines(store)
    reading = read_lines(store.database, None, before[-1].at + timedelta(microseconds=1))
    found = [next(reading)]
    for one in (ids[1], ids[6]):
        judge(store, one, seen("paid", paid_amount=ASKED + 1))
    assert [*found, *reading] == before


@pytest.mark.parametrize(
    "amount", ["0.000000000000000001", "123456789012345678901234567890.000000000000000001", "1E+2"]
)
def test_sums_have_every_digit(store, amount):
    ids = paying(store, 3)
    for one in ids:
        judge(store, one, seen("paid", paid_amount=total((Decimal(amount), ASKED))))
    sums = Totals()
    for line in lines(store):
        sums.add(line)
    payments: Any
    (payments,) = (row for row in sums.rows() if row["kind"] == "payment")
    (prices,) = (row for row in sums.rows() if row["kind"] == "price")
    assert (payments["lines"], prices["lines"]) == (3, 3)
    assert (payments["unit"], prices["unit"], prices["amount"]) == ("ETH", "EUR", Decimal("31.50"))
    assert payments["amount"] == total([Decimal(amount), ASKED] * 3)
    assert "E" not in format_amount(total([payments["amount"]]))


def test_what_is_queued_or_unanswered_is_no_line(store):
    queue(store)
    (invoice_id,) = paying(store)
    judge(store, invoice_id, Unreadable(reason="404"))
    assert lines(store) == []


def test_a_page_is_found_by_the_index_of_times_among_many_payments(crowded):
    store = open_store(crowded)
    ids = paying(store, 20)
    for one in ids:
        judge(store, one, seen("paid", paid_amount=ASKED))
    copy_invoice(crowded, ids[0], 30_000)
    copy_payment(crowded, ids[0])
    since = crowded.time() - timedelta(hours=1)
    plan = explained(crowded, lambda: list(read_lines(crowded, since, crowded.time() + SOON)), "SELECT")
    assert_by_index(plan.replace("SCAN page", ""))
    assert "ix_payment_booked" in plan
    assert "ix_payment_unbooked" in plan


def copy_payment(database, model):
    """One line, long ago, for each invoice."""
    long_ago = "'2020-01-01 00:00:00.000000'"
    with database.transaction() as connection:
        connection.execute(
            text(
                "INSERT INTO payment (invoice_id, kind, key, source, status, amount_told, first_seen_at, last_seen_at,"
                " folded, settled_status, booked_at, booked, booked_told)"
                f" SELECT i.id, p.kind, 'tx:' || i.id, p.source, p.status, 1, {long_ago}, {long_ago}, 0, 'paid',"
                f" {long_ago}, '1', 1 FROM payment p, invoice i WHERE p.invoice_id = :model AND i.id <> :model"
            ),
            {"model": model},
        )
        connection.execute(text("ANALYZE"))
