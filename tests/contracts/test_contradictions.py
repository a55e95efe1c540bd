"""Contradictions in the store, on both databases: evidence and event of one transaction, listed, kept until settled."""

from __future__ import annotations

import json
from datetime import timedelta
from decimal import Decimal

import pytest

from domain.decision import Stage
from domain.evidence import CalledBack, CancelRequested, Marked, OrderRefused
from domain.looks import Look, lane_of
from domain.status import Status
from tests.contracts.store_cases import (
    ACCOUNT,
    SILENT_ACCOUNT,
    agenda_of,
    claim_one,
    created,
    events_of,
    evidence_of,
    invoice_of,
    judge,
    pend,
    policy,
    queue,
    rows,
    seen,
    subscribe,
)
from workers.cli.doctor.messages import check_messages
from workers.store.deliveries import DeliveryAttempt
from workers.store.reads.contradictions import list_contradictions
from workers.store.reads.gauges import count_contradictions
from workers.store.store import Store
from workers.store.tables import EVIDENCE, INVOICE, PAYMENT

OLD = timedelta(days=90)


def test_it_is_told_in_its_invoices_sequence_with_kind_and_words(database, store):
    endpoint = subscribe(database)
    (invoice,) = pend(store)
    judge(store, invoice, CancelRequested(reason="gone"))
    outcome = judge(store, invoice, seen("paid"))
    judge(store, invoice, seen("paid"))

    assert outcome.event_type == "invoice.contradiction"
    events = events_of(database, invoice)
    assert [(event.sequence, event.type) for event in events] == [
        (1, "invoice.pending"),
        (2, "invoice.cancelled"),
        (3, "invoice.contradiction"),
    ]
    data = json.loads(events[-1].body)["data"]
    assert (data["status"], data["previous_status"], data["sequence"]) == ("cancelled", "cancelled", 3)
    assert (data["kind"], data["words"]) == ("status", "the provider says paid, and it is cancelled")
    assert invoice_of(database, invoice).sequence == 3
    sent = []
    while deliveries := store.claim_deliveries(endpoint, 10, 60):
        sent += [json.loads(delivery.body)["type"] for delivery in deliveries]
        store.settle([DeliveryAttempt(delivery, outcome="delivered") for delivery in deliveries])
    assert sent == ["invoice.pending", "invoice.cancelled", "invoice.contradiction"]


def test_they_are_listed_newest_first_with_who_said_what(database, store):
    one, two = pend(store, 2)
    for invoice in (one, two):
        judge(store, invoice, CancelRequested(reason="gone"))
        judge(store, invoice, seen("paid"))
    judge(store, one, Marked(status=Status.PAID, reason="it came", by="bob"))

    listed = list(list_contradictions(database))
    assert [(row.invoice_id, row.source, row.note.partition(":")[0]) for row in listed] == [
        (one, "operator", "mark"),
        (two, "look-up", "status"),
        (one, "look-up", "status"),
    ]
    assert listed[0].order_id == invoice_of(database, one).order_id
    assert len(list(list_contradictions(database, limit=2))) == 2


def test_an_old_one_stays_until_somebody_has_marked_the_invoice(database, store):
    (invoice,) = pend(store)
    judge(store, invoice, seen("expired"))
    with database.transaction() as connection:
        connection.execute(INVOICE.update().values(monitor_until=database.now(connection)))
    judge(store, invoice, seen("paid"))
    age(database)
    while store.remove_finished(OLD):
        pass
    assert [row.verdict for row in evidence_of(database, invoice)] == ["contradiction"]
    assert [found.cause for found in check_messages(database)] == ["contradictions"]

    judge(store, invoice, Marked(status=Status.PAID, reason="it came late", by="bob"))
    assert [row.settled for row in list_contradictions(database)] == [True]
    assert list(check_messages(database)) == []
    age(database)
    while store.remove_finished(OLD):
        pass
    assert rows(database, EVIDENCE) == []


def test_one_that_stays_expired_is_settled_and_what_comes_after_the_mark_is_open_and_told_again(database):
    store = Store(database, {ACCOUNT: policy(late_payment="hold")}, lambda _: None)
    (invoice,) = pend(store)
    judge(store, invoice, seen("expired"))
    judge(store, invoice, seen("paid", paid_amount=Decimal("0.3")))
    assert database.read(count_contradictions) == 1
    before = events_of(database, invoice)

    stays = Marked(status=Status.EXPIRED, reason="paid back", by="bob")
    assert judge(store, invoice, stays).event_type is None
    assert judge(store, invoice, seen("paid", paid_amount=Decimal("0.300"))).verdict == "noted"
    assert database.read(count_contradictions) == 0
    assert [row.settled for row in list_contradictions(database)] == [True]
    assert (events_of(database, invoice), invoice_of(database, invoice).status) == (before, "expired")

    assert judge(store, invoice, seen("paid", paid_amount=Decimal("0.6"))).event_type == "invoice.contradiction"
    assert database.read(count_contradictions) == 1
    assert [row.settled for row in list_contradictions(database)] == [False, True]
    assert len(events_of(database, invoice)) == len(before) + 1


CALLED = CalledBack(status=Status.PAID, word="COMPLETED")


def told(database, invoice):
    return [(event.sequence, event.type) for event in events_of(database, invoice)]


@pytest.mark.parametrize(
    ("evidence", "status"),
    [
        (CancelRequested(reason="gone"), "cancelled"),
        (Marked(status=Status.CANCELLED, reason="gone", by="bob"), "cancelled"),
        (Marked(status=Status.FAILED, reason="broken", by="bob"), "failed"),
        (seen("failed"), "failed"),
    ],
)
@pytest.mark.parametrize("look", [None, "pending", "paid"])
def test_what_a_callback_said_is_listed_and_told_after_the_event_that_closes_its_invoice(
    database, store, evidence, status, look
):
    (invoice,) = pend(store)
    judge(store, invoice, CALLED)
    claim = claim_one(store, Stage.CHECK, lane_of(ACCOUNT, Look.CALLED))
    judge(store, invoice, evidence)
    if look is not None:  # it was under way meanwhile
        judge(store, invoice, seen(look), claim)

    assert told(database, invoice) == [
        (1, "invoice.pending"),
        (2, f"invoice.{status}"),
        (3, "invoice.contradiction"),
    ]
    data = json.loads(events_of(database, invoice)[-1].body)["data"]
    assert (data["kind"], data["status"], data["previous_status"]) == ("status", status, status)
    assert data["words"] == "the callback says COMPLETED"
    listed = [row.note for row in list_contradictions(database) if row.source == "callback"]
    assert listed == ["status: the callback says COMPLETED"]
    row = invoice_of(database, invoice)
    assert (row.status, row.sequence, row.called_status) == (status, 3, None)


def test_a_payment_that_is_listed_against_a_cancelled_invoice_is_one_row_of_its_payments(database, store):
    (invoice,) = pend(store)
    judge(store, invoice, CalledBack(status=Status.PAID, word="COMPLETED", reference="100061", tx_hash="ab"))
    before = rows(database, PAYMENT)
    judge(store, invoice, CancelRequested(reason="gone"))
    assert [(row.key, row.status) for row in rows(database, PAYMENT)] == [(row.key, row.status) for row in before]


def test_an_order_that_its_provider_refuses_though_a_callback_said_paid_is_told_with_that(database, store):
    invoice = queue(store)
    judge(store, invoice, CALLED)
    judge(store, invoice, OrderRefused(reason="no such coin"), claim_one(store, Stage.CREATE))

    assert told(database, invoice) == [(1, "invoice.failed"), (2, "invoice.contradiction")]
    assert [row.note for row in list_contradictions(database)] == ["status: the callback says COMPLETED"]


@pytest.mark.parametrize(
    ("claim", "kind"),
    [({"pay_currency": "DOGE"}, "coin"), ({"pay_currency": "BTC", "paid_amount": Decimal("0.1")}, "amount")],
)
def test_an_order_is_made_though_its_callback_came_first_and_names_something_else(database, store, claim, kind):
    invoice = queue(store, SILENT_ACCOUNT, pay_currency="BTC")
    lease = claim_one(store, Stage.CREATE, SILENT_ACCOUNT)
    judge(store, invoice, CalledBack(status=Status.PAID, word="COMPLETED", **claim))
    judge(store, invoice, created(pay_amount=Decimal(1), payment_url="https://pay.example/1"), lease)

    row = invoice_of(database, invoice)
    assert (row.status, row.payment_url, row.called_status) == ("pending", "https://pay.example/1", None)
    assert set(agenda_of(database, invoice)) == {"clock"}
    assert told(database, invoice) == [(1, "invoice.pending"), (2, "invoice.contradiction")]
    assert [row.note.partition(":")[0] for row in list_contradictions(database)] == [kind]


def age(database):
    with database.transaction() as connection:
        connection.execute(EVIDENCE.update().values(at=database.now(connection) - timedelta(days=91)))
