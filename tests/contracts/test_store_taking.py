"""Webhooks that a commit brings and who commits it takes at once: leased in the transaction that writes them."""

from __future__ import annotations

import json

import pytest

from domain.decision import Stage
from tests.contracts.store_cases import (
    agenda_of,
    created,
    deliveries_of,
    events_of,
    judge,
    make_due,
    pend,
    queue,
    seen,
    subscribe,
)
from workers.store.agenda import Room, lease_clock
from workers.store.deliveries import DeliveryAttempt
from workers.store.judging import Judgement

LEASE_SECONDS = 25.0


def take(store, judgements, **places):
    """The webhooks that are taken where each endpoint has so many places."""
    _, deliveries, _ = store.judge_and_take(judgements, Room(places, LEASE_SECONDS))
    return deliveries


def made(store, count=1):
    """Evidence that the provider has made so many invoices."""
    return [Judgement(queue(store), created()) for _ in range(count)]


def delivered(delivery):
    return DeliveryAttempt(delivery, "delivered", None, 200, 12, b"ok")


def invoice_of(delivery):
    return delivery.claim.subject.partition("/")[2]


def bells(rung, endpoint):
    return [lane for lane in rung if lane == (Stage.DELIVER, endpoint)]


def test_what_is_taken_is_leased_and_nobody_is_woken_for_it(database, store, rung):
    endpoint = subscribe(database)
    (judgement,) = made(store)
    rung.clear()

    before = lease_clock()
    (delivery,) = take(store, [judgement], **{endpoint: 5})

    assert before <= delivery.claim.over_at - LEASE_SECONDS <= lease_clock()
    (event,) = events_of(database, judgement.invoice_id)
    (kept,) = deliveries_of(database, judgement.invoice_id)
    told = delivery.delivery_id, delivery.event_id, delivery.body, delivery.tries
    assert told == (kept.id, event.id, event.body, 0)
    row = agenda_of(database, delivery.claim.subject)["deliver"]
    assert (row.lane, row.lease_token, row.claims) == (endpoint, delivery.claim.token, 1)
    assert (row.due_at - event.created_at).total_seconds() == LEASE_SECONDS
    assert bells(rung, endpoint) == []
    assert store.claim_deliveries(endpoint, 10, LEASE_SECONDS) == []
    store.settle([delivered(delivery)])
    assert agenda_of(database, delivery.claim.subject) == {}
    assert deliveries_of(database, judgement.invoice_id)[0].state == "delivered"


def test_no_more_is_taken_than_there_is_room_for_and_the_rest_is_due_at_once(database, store, rung):
    endpoint = subscribe(database)
    judgements = made(store, 5)
    rung.clear()

    taken = take(store, judgements, **{endpoint: 2})

    assert len(taken) == 2
    assert bells(rung, endpoint) == [(Stage.DELIVER, endpoint)]
    left = store.claim_deliveries(endpoint, 10, LEASE_SECONDS)
    invoices = {judgement.invoice_id for judgement in judgements}
    assert {invoice_of(delivery) for delivery in left} == invoices - {invoice_of(delivery) for delivery in taken}
    assert not any(delivery.claim.lost for delivery in left)


def test_each_endpoint_has_its_own_room_and_its_own_filter(database, store, rung):
    with_room, without, of_payments = subscribe(database), subscribe(database), subscribe(database, ["invoice.paid"])
    (judgement,) = made(store)
    rung.clear()

    (delivery,) = take(store, [judgement], **{with_room: 1, of_payments: 1, "ep_gone": 1})

    assert delivery.claim.lane == with_room
    assert bells(rung, without) == [(Stage.DELIVER, without)]
    assert bells(rung, with_room) == bells(rung, of_payments) == []


@pytest.mark.parametrize("leased", [False, True])
def test_an_event_with_an_older_one_before_it_is_not_taken(database, store, leased):
    endpoint = subscribe(database)
    (invoice_id,) = pend(store)
    older = store.claim_deliveries(endpoint, 10, LEASE_SECONDS) if leased else []

    assert take(store, [Judgement(invoice_id, seen("paid"))], **{endpoint: 5}) == []

    row = agenda_of(database, f"{endpoint}/{invoice_id}")["deliver"]
    assert (row.pokes, row.claims) == (1, int(leased))
    (first,) = older or store.claim_deliveries(endpoint, 10, LEASE_SECONDS)
    assert json.loads(first.body)["type"] == "invoice.pending"
    store.settle([delivered(first)])
    (second,) = store.claim_deliveries(endpoint, 10, LEASE_SECONDS)
    assert json.loads(second.body)["type"] == "invoice.paid"


def test_of_several_events_of_an_invoice_the_first_is_taken_and_the_next_follows_it(database, store):
    endpoint = subscribe(database)
    (judgement,) = made(store)

    (delivery,) = take(store, [judgement, Judgement(judgement.invoice_id, seen("paid"))], **{endpoint: 5})

    assert json.loads(delivery.body)["type"] == "invoice.pending"
    assert store.claim_deliveries(endpoint, 10, LEASE_SECONDS) == []
    store.settle([delivered(delivery)])
    (second,) = store.claim_deliveries(endpoint, 10, LEASE_SECONDS)
    assert json.loads(second.body)["type"] == "invoice.paid"


def test_what_a_process_took_and_never_sent_is_due_when_its_lease_is_over(database, store):
    endpoint = subscribe(database)
    (delivery,) = take(store, made(store), **{endpoint: 1})
    assert store.claim_deliveries(endpoint, 10, LEASE_SECONDS) == []

    make_due(database, delivery.claim.subject)

    (again,) = store.claim_deliveries(endpoint, 10, LEASE_SECONDS)
    assert again.claim.lost
    assert (again.delivery_id, again.event_id, again.body) == (delivery.delivery_id, delivery.event_id, delivery.body)


def test_what_was_taken_and_not_begun_is_given_back_as_if_nobody_had_taken_it(database, store):
    endpoint = subscribe(database)
    (delivery,) = take(store, made(store), **{endpoint: 1})

    store.release([delivery.claim])

    (again,) = store.claim_deliveries(endpoint, 10, LEASE_SECONDS)
    assert not again.claim.lost


def test_evidence_that_changes_nothing_brings_nothing_to_take(database, store):
    endpoint = subscribe(database)
    (judgement,) = made(store)
    judge(store, judgement.invoice_id, judgement.evidence)

    assert take(store, [judgement], **{endpoint: 5}) == []
