"""Refused orders on their way to the shop: written once, with the list's own row, for endpoints that asked for them."""

from __future__ import annotations

import json

from domain.decision import Stage
from domain.refused_order import RefusedOrder
from tests.contracts.store_cases import rows, subscribe
from workers.store.agenda import PUBLISH_LANE
from workers.store.intake import Rejection
from workers.store.tables import AGENDA, DELIVERY, EVENT


def rejection(key="key-1", **order):
    named = {"account": "shop", "order_id": "A-1", "idempotency_key": "A-1"} | order
    return Rejection(key, "invoices.create", "price: must be greater than 0", "{}", True, RefusedOrder(**named))


def events(database):
    return [json.loads(row.body) for row in rows(database, EVENT)]


def test_it_is_told_once_however_often_its_message_comes(database, store):
    subscribe(database, ["order.rejected"])

    for _ in range(3):
        store.reject([rejection(), rejection()])

    (event,) = events(database)
    assert (event["type"], event["data"]["order_id"]) == ("order.rejected", "A-1")


def test_endpoints_that_named_it_get_it_and_nobody_else(database, store):
    chosen = subscribe(database, ["order.rejected", "invoice.paid"])
    subscribe(database)
    subscribe(database, ["invoice.paid"])

    store.reject([rejection()])

    assert {row.endpoint_id for row in rows(database, DELIVERY)} == {chosen}


def test_publisher_and_receivers_are_woken_for_it(database, store, rung):
    chosen = subscribe(database, ["order.rejected"])

    store.reject([rejection()])

    assert set(rung) == {(Stage.PUBLISH, PUBLISH_LANE), (Stage.DELIVER, chosen)}


def test_of_a_message_that_is_no_order_nobody_is_told(database, store, rung):
    subscribe(database, ["order.rejected"])

    store.reject([Rejection("key-1", None, "body: is not JSON", "x", False)])

    assert events(database) == []
    assert rung == []


def test_two_refusals_wait_for_each_other_nowhere(database, store):
    """Each is ordered by its own id only: a receiver that is slow with one gets the other beside it."""
    endpoint = subscribe(database, ["order.rejected"])

    store.reject([rejection("key-1", order_id="A"), rejection("key-2", order_id="B")])

    assert len(rows(database, DELIVERY, DELIVERY.c.endpoint_id == endpoint)) == 2
    assert len(rows(database, AGENDA, AGENDA.c.stage == Stage.DELIVER.value)) == 2
