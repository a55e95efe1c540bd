"""Payments as the store keeps them: in the judging transaction, once, digit for digit, as long as their invoice."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
from sqlalchemy import text

from domain.evidence import CalledBack, Created, Marked, Unreadable
from domain.status import Status
from tests.contracts.store_cases import (
    SILENT_ACCOUNT,
    events_of,
    invoice_of,
    judge,
    pend,
    queue,
    rows,
    seen,
)
from workers.store.judging import Judgement
from workers.store.reads.payments import invoices_of_transaction, payments_of
from workers.store.retention import Retention
from workers.store.tables import PAYMENT

TX = "0xCf2e" + "ab12" * 15
ASKED = Decimal("0.0358619204")


def shown(store, invoice_id):
    return store.database.read(payments_of, invoice_id)


def called(status, **fields):
    return CalledBack(status=status, word=status.value, **fields)


def test_a_payment_is_written_with_the_change_that_it_brings(store):
    (invoice_id,) = pend(store, pay_amount=ASKED, pay_currency="ETH")
    judge(store, invoice_id, seen("paid", tx_hash=TX))

    (paid,) = shown(store, invoice_id)
    event = events_of(store.database, invoice_id)[-1]
    assert (paid.settled_event, paid.settled_sequence, paid.settled_status) == (event.id, event.sequence, "paid")
    assert (paid.amount, paid.amount_told, paid.tx_hash, paid.source) == (ASKED, 0, TX, "look-up")


@pytest.mark.parametrize("amount", ["3.0440897036220003", "0.000000000000000001", "1E-8", "123456789012345678901234.5"])
def test_amounts_are_kept_digit_for_digit(store, amount):
    (invoice_id,) = pend(store)
    judge(store, invoice_id, seen("partially_paid", paid_amount=Decimal(amount)))
    (kept,) = rows(store.database, PAYMENT)
    assert (kept.amount, kept.total) == (Decimal(amount), Decimal(amount))
    with store.database.reading() as connection:
        (raw,) = connection.execute(text("SELECT amount FROM payment")).scalars()
    assert "E" not in raw.upper()


def test_the_same_evidence_brought_again_and_together_makes_no_second_row(store):
    (invoice_id,) = pend(store, pay_amount=ASKED)
    word = Judgement(invoice_id, seen("confirming", tx_hash=TX))
    store.judge([word, word])
    (first,) = shown(store, invoice_id)
    store.judge([word])
    (again,) = shown(store, invoice_id)
    assert again.last_seen_at >= first.last_seen_at
    assert (again.first_seen_at, again.id, again.settled_event) == (
        first.first_seen_at,
        first.id,
        first.settled_event,
    )
    assert len(rows(store.database, PAYMENT)) == 1


def test_a_later_hash_completes_the_row_which_keeps_its_number(store):
    (invoice_id,) = pend(store, pay_amount=ASKED)
    judge(store, invoice_id, seen("paid"))
    (before,) = shown(store, invoice_id)
    judge(store, invoice_id, seen("paid", tx_hash=TX))
    (after,) = shown(store, invoice_id)
    assert (before.tx_hash, after.tx_hash) == (None, TX)
    assert (after.id, after.settled_event) == (before.id, before.settled_event)


def test_a_callback_before_the_creates_answer_is_a_payment_that_settles_once_the_answer_is_there(store):
    invoice_id = queue(store, SILENT_ACCOUNT)
    judge(store, invoice_id, called(Status.PAID, reference="10000", tx_hash=TX, paid_amount=ASKED))
    assert [one.settled_status for one in shown(store, invoice_id)] == [None]
    judge(store, invoice_id, Created(provider_ref="9a1c"))
    (paid,) = shown(store, invoice_id)
    assert (paid.settled_status, paid.settled_by, paid.amount) == ("paid", "callback", ASKED)


def test_a_callback_that_stands_alone_names_the_payment_that_it_told_of(store):
    (invoice_id,) = pend(store, account=SILENT_ACCOUNT)
    judge(store, invoice_id, called(Status.PAID, tx_hash=TX))
    (paid,) = shown(store, invoice_id)
    assert invoice_of(store.database, invoice_id).status == "paid"
    assert (paid.settled_status, paid.settled_by) == ("paid", "callback")


def test_an_invoice_is_found_by_a_transaction_however_it_is_written(store):
    first, second = pend(store, 2)
    for invoice_id in (first, second):
        judge(store, invoice_id, seen("confirming", tx_hash=TX))
    for spelling in (TX, TX.upper().replace("0X", "0x"), TX.lower().removeprefix("0x")):
        found = store.database.read(invoices_of_transaction, spelling)
        assert [row.id for row in found] == sorted([first, second], reverse=True)
    assert store.database.read(invoices_of_transaction, "nothing") == []


def test_a_mark_and_a_refund_are_rows_with_who_settled_them(store):
    (invoice_id,) = pend(store, pay_amount=ASKED)
    judge(store, invoice_id, Marked(status=Status.PAID, by="ada", reason="bank", paid_amount=ASKED))
    judge(store, invoice_id, Marked(status=Status.REFUNDED, by="ada", reason="sent back"))
    paid, refund = shown(store, invoice_id)
    assert (paid.kind, paid.source, paid.settled_status, paid.amount) == ("payment", "mark", "paid", ASKED)
    assert (refund.kind, refund.source, refund.settled_status, refund.amount) == ("refund", "mark", "refunded", ASKED)


def test_what_no_database_takes_in_a_transactions_place_is_kept_as_an_escape(store):
    (invoice_id,) = pend(store)
    other = seen("paid", reference="10001", tx_hash="b\x00d")
    judge(store, invoice_id, seen("confirming", tx_hash="a\x00c", others=(other,)))
    assert len(shown(store, invoice_id)) == 2


def test_retention_leaves_payments_as_long_as_their_invoice(store):
    (invoice_id,) = pend(store)
    judge(store, invoice_id, seen("paid", tx_hash=TX))
    with store.database.transaction() as connection:
        after = store.database.now(connection) + timedelta(days=4000)
        while Retention().remove_finished(connection, after):
            pass
    assert [one.tx_hash for one in shown(store, invoice_id)] == [TX]


def test_evidence_that_tells_of_no_payment_reads_and_writes_none(store, monkeypatch):
    from workers.store.judging import payments

    def fail(*_):
        raise AssertionError("the payments were read")

    monkeypatch.setattr(payments, "_payments", fail)
    (invoice_id,) = pend(store)
    judge(store, invoice_id, seen("pending"))
    judge(store, invoice_id, Unreadable(reason="404"))
    assert rows(store.database, PAYMENT) == []
