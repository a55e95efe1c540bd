"""Contradictions in the store, on both databases: evidence and event of one transaction, listed, kept until settled."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from domain.evidence import CancelRequested, Marked
from domain.status import Status
from tests.contracts.store_cases import (
    events_of,
    evidence_of,
    invoice_of,
    judge,
    open_store,
    pend,
    rows,
    seen,
    subscribe,
)
from workers.cli.doctor.messages import check_messages
from workers.store.deliveries import Try
from workers.store.intake import INVOICE
from workers.store.judging import EVIDENCE
from workers.store.reads.contradictions import list_contradictions

OLD = timedelta(days=90)


@pytest.fixture
def store(database):
    return open_store(database)


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
    while parcels := store.claim_parcels(endpoint, 10, 60):
        sent += [json.loads(parcel.body)["type"] for parcel in parcels]
        store.settle([Try(parcel, outcome="delivered") for parcel in parcels])
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


def age(database):
    with database.transaction() as connection:
        connection.execute(EVIDENCE.update().values(at=database.now(connection) - timedelta(days=91)))
