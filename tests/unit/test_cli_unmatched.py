"""`invoices unmatched`: what providers called back about and nobody could match."""

from __future__ import annotations

import hashlib
from decimal import Decimal

import pytest
from sqlalchemy import select

from domain.decision import Stage
from domain.evidence import CalledBack
from domain.status import Status
from workers.store.callbacks import NewCallback
from workers.store.tables import CALLBACK, INVOICE

BODY = b'{"orderId": "lost-1", "status": "COMPLETED", "amount": "0.10", "trackingCode": 7}'


def read(account, body):
    return CalledBack(status=Status.PAID, word="COMPLETED", order_id="lost-1", paid_amount=Decimal("0.10"))


@pytest.fixture
def call(store):
    """An account is called back about an order that nobody knows; returns the callback's number."""

    def call(order_id="lost-1", account="nebulox", body=BODY):
        said = {"order_id": order_id, "reference": "7", "word": "COMPLETED", "amount": Decimal("0.10")}
        kept = NewCallback(account=account, digest=hashlib.sha256(body).hexdigest(), body=body, headers="{}", **said)
        assert store.keep_callbacks([kept]) == [True]
        judge(store, account)
        with store.database.reading() as connection:
            return connection.execute(select(CALLBACK.c.id).order_by(CALLBACK.c.id.desc()).limit(1)).scalar_one()

    return call


def judge(store, account="nebulox"):
    """As a worker does."""
    store.judge_callbacks(store.claim(Stage.CALLBACK, account, 10, 60), read)


def row(store, number):
    with store.database.reading() as connection:
        return connection.execute(select(CALLBACK).where(CALLBACK.c.id == number)).one()


def test_what_nobody_could_match_is_listed_as_it_came(invoices, call):
    number = call()

    (line,) = invoices("unmatched", "list", "--json").lines
    assert {name: line[name] for name in ("id", "account", "order_id", "reference", "status", "amount")} == {
        "id": number,
        "account": "nebulox",
        "order_id": "lost-1",
        "reference": "7",
        "status": "COMPLETED",
        "amount": "0.10",
    }
    assert line["raw"] == BODY.decode()
    assert line["at"].endswith("Z")
    assert "lost-1" in invoices("unmatched", "list").out


def test_a_linked_one_is_judged_for_the_invoice_that_was_named(invoices, call, add_order, store):
    number, invoice = call(), add_order("order-1")

    ran = invoices("unmatched", "link", number, "order-1", "--reason", "the shop spelt it so", "--json")
    assert ran.lines == [{"id": number, "invoice": invoice, "order_id": "order-1", "linked": True}]
    judge(store)
    assert (row(store, number).state, row(store, number).invoice_id) == ("matched", invoice)
    assert "the shop spelt it so" in row(store, number).reason
    with store.database.reading() as connection:
        called = connection.execute(select(INVOICE.c.called_status).where(INVOICE.c.id == invoice)).scalar_one()
    assert called == "paid"
    assert invoices("unmatched", "list", "--json").lines == []


def test_one_is_not_linked_to_another_accounts_invoice_nor_twice(invoices, call, add_order):
    number, other, own = call(), add_order("order-1", account="zeroxhost"), add_order("order-2")

    assert invoices("unmatched", "link", number, "order-1", "--reason", "x").code == 1  # not of this account
    ran = invoices("unmatched", "link", number, other, "--reason", "x")
    assert (ran.code, "was made by the account zeroxhost" in ran.err) == (1, True)
    assert invoices("unmatched", "link", number, own, "--reason", "x").code == 0
    assert invoices("unmatched", "link", number, own, "--reason", "x").code == 1
    assert invoices("unmatched", "link", 999, own, "--reason", "x").code == 1


def test_a_dismissed_one_is_out_of_the_list_and_keeps_the_reason(invoices, call, store):
    number = call()

    assert invoices("unmatched", "dismiss", number, "--reason", "a test of theirs", "--json").lines == [
        {"id": number, "dismissed": True}
    ]
    assert (row(store, number).state, row(store, number).reason) == ("dismissed", "a test of theirs")
    assert invoices("unmatched", "list", "--json").lines == []
    assert invoices("unmatched", "dismiss", number, "--reason", "again").code == 1


@pytest.mark.parametrize("command", [("link", 1, "order-1"), ("dismiss", 1)])
@pytest.mark.parametrize("reason", [(), ("--reason", " ")])
def test_both_want_a_reason(invoices, command, reason):
    assert invoices("unmatched", *command, *reason).code == 2
