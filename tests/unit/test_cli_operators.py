"""`invoices mark` and `recheck`, as a person types them."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
from sqlalchemy import select

from domain.evidence import CancelRequested, Created, Seen
from domain.status import Status
from workers.store.judging import Judgement
from workers.store.tables import AGENDA, EVIDENCE


@pytest.fixture
def pending(add_order, store):
    def make(order_id="order-1", account="zeroxhost"):
        invoice = add_order(order_id, account=account)
        store.judge([Judgement(invoice, Created(provider_ref=f"ref-{order_id}"))])
        return invoice

    return make


def evidence(store, kind):
    with store.database.reading() as connection:
        return connection.execute(select(EVIDENCE).where(EVIDENCE.c.kind == kind)).all()


def test_a_payment_that_only_a_person_knows_of_is_marked_and_kept_apart(invoices, pending, store):
    invoice = pending()
    ran = invoices(
        "mark", "order-1", "paid", "--reason", "seen on  the chain", "--amount", "0.0358619204", "--by", "bob", "--json"
    )
    assert ran.lines == [
        {
            "id": invoice,
            "order_id": "order-1",
            "status": "paid",
            "previous_status": "pending",
            "marked": True,
            "by": "bob",
            "reason": "seen on the chain",
            "why": None,
        }
    ]
    (shown,) = invoices("show", invoice, "--json").lines
    assert (shown["status"], shown["paid_amount"]) == ("paid", "0.0358619204")
    (kept,) = evidence(store, "Marked")
    assert (kept.source, kept.verdict) == ("operator", "applied")
    detail = json.loads(kept.detail)
    assert (detail["by"], detail["reason"], detail["status"]) == ("bob", "seen on the chain", "paid")
    assert [event["type"] for event in invoices("events", invoice, "--json").lines] == [
        "invoice.pending",
        "invoice.paid",
    ]

    assert invoices("mark", invoice, "refunded", "--reason", "sent back").code == 0
    assert invoices("show", invoice, "--json").lines[0]["status"] == "refunded"


def test_one_that_was_cancelled_is_not_marked_as_paid_but_the_word_is_kept(invoices, pending, store):
    invoice = pending()
    store.judge([Judgement(invoice, CancelRequested(reason="gone"))])

    ran = invoices("mark", invoice, "paid", "--reason", "it came after all", "--json")
    assert (ran.code, ran.lines[0]["marked"], ran.lines[0]["why"]) == (1, False, "it is cancelled")
    (kept,) = evidence(store, "Marked")
    assert (kept.verdict, kept.note.partition(":")[0]) == ("contradiction", "mark")


def test_a_second_mark_with_another_amount_fails_and_says_why(invoices, pending):
    invoice = pending()
    paid = ("mark", invoice, "paid", "--reason", "the bank says so", "--amount")
    assert [invoices(*paid, amount).code for amount in ("10", "10.00")] == [0, 0]
    ran = invoices(*paid, "9", "--json")
    why = "it is paid already, with 10, and a mark changes no amount"
    assert (ran.code, ran.lines[0]["marked"], ran.lines[0]["why"]) == (1, False, why)
    assert f"{invoice} can't be marked as paid: {why}" in ran.err
    assert invoices("show", invoice, "--json").lines[0]["paid_amount"] == "10"
    assert invoices("contradictions", "--json").lines[0]["kind"] == "mark"


def test_one_that_expired_stays_so_and_what_was_said_against_it_is_settled(invoices, pending, store):
    invoice = pending()
    refused = invoices("mark", invoice, "expired", "--reason", "nothing came", "--json")
    assert (refused.code, refused.lines[0]["marked"], refused.lines[0]["why"]) == (1, False, "it is pending")
    store.judge([Judgement(invoice, Seen(status=Status.EXPIRED, word="Expired"))])
    store.judge([Judgement(invoice, Seen(status=Status.PARTIALLY_PAID, word="Part", paid_amount=Decimal(1)))])
    told = invoices("events", invoice, "--json").lines
    (against,) = invoices("contradictions", "--json").lines
    assert (against["invoice"], against["kind"]) == (invoice, "late_payment")

    ran = invoices("mark", invoice, "expired", "--reason", "paid back: tx 77", "--by", "bob")
    words = f"{invoice} (order order-1) is expired, as you say; what was said against it is settled"
    assert (ran.code, ran.out.strip()) == (0, words)
    assert invoices("contradictions", "--json").lines == []
    assert [one["settled"] for one in invoices("contradictions", "--all", "--json").lines] == [True]
    assert invoices("events", invoice, "--json").lines == told
    (act, *_) = invoices("audit", "--json").lines
    assert (act["by"], act["reason"], act["after"]["marked_as"]) == ("bob", "paid back: tx 77", "expired")
    (kept, *_) = evidence(store, "Marked")[::-1]
    assert (kept.verdict, kept.note) == ("noted", "confirmed: it is expired, says bob")


@pytest.mark.parametrize(
    "arguments",
    [
        ("order-1", "paid"),
        ("order-1", "paid", "--reason", "  "),
        ("order-1", "paid", "--reason", "x" * 501),
        ("order-1", "pending", "--reason", "x"),
        ("order-1", "expired", "--reason", "x", "--amount", "1"),
        ("order-1", "failed", "--reason", "x", "--amount", "1"),
        ("order-1", "paid", "--reason", "x", "--amount", "-1"),
        ("order-1", "paid", "--reason", "x", "--amount", "NaN"),
        ("order-1", "paid", "--reason", "x", "--by", ""),
    ],
)
def test_a_mark_without_sense_is_wrong_usage_and_changes_nothing(invoices, pending, arguments):
    invoice = pending()
    assert invoices("mark", *arguments).code == 2
    assert invoices("show", invoice, "--json").lines[0]["status"] == "pending"


def test_an_order_id_of_two_accounts_is_not_guessed(invoices, pending):
    pending()
    other = pending(account="nebulox")
    ran = invoices("mark", "order-1", "paid", "--reason", "x")
    assert (ran.code, "give --account nebulox|zeroxhost" in ran.err) == (2, True)
    assert (
        invoices("mark", "order-1", "paid", "--reason", "x", "--account", "nebulox", "--json").lines[0]["id"] == other
    )


def test_a_recheck_is_due_at_once_where_the_provider_can_be_asked(invoices, pending, store):
    invoice = pending()
    assert invoices("recheck", "order-1", "--json").lines == [
        {"id": invoice, "order_id": "order-1", "status": "pending", "rechecked": True, "why": None}
    ]
    with store.database.reading() as connection:
        row = connection.execute(select(AGENDA).where(AGENDA.c.subject == invoice, AGENDA.c.stage == "check")).one()
        assert row.due_at <= store.database.now(connection)
    (kept,) = evidence(store, "RecheckRequested")
    assert kept.source == "operator"


def test_a_recheck_says_that_nothing_can_be_asked_by_yet(invoices, pending):
    pending(account="nebulox")
    ran = invoices("recheck", "order-1")
    assert (ran.code, "no callback has brought" in ran.err) == (1, True)
