"""An endpoint that is limited to accounts: it gets their events and everybody's, and no replay brings it others."""

from __future__ import annotations

import pytest

from domain.event import ORDER_REJECTED, RESTORED, new_id
from domain.refused_order import RefusedOrder
from tests.contracts.store_cases import ACCOUNT, OPERATOR, SILENT_ACCOUNT, pend, rows, subscribe
from workers.store.endpoints import NewEndpoint, find_endpoint
from workers.store.intake import Rejection
from workers.store.operate import endpoints, replay
from workers.store.outbox import NewEvent, add_events
from workers.store.replay import Choice
from workers.store.tables import DELIVERY, EVENT


def limited(store, *accounts, events=None):
    """An endpoint of these accounts only."""
    return endpoints.add(store, OPERATOR, NewEndpoint("https://shop.example", "sealed", events, accounts=accounts))


def given_to(store, endpoint):
    """The types and invoices of the events that are on their way to an endpoint."""
    found = {row.event_number for row in rows(store.database, DELIVERY, DELIVERY.c.endpoint_id == endpoint)}
    return [(row.type, row.invoice_id) for row in rows(store.database, EVENT) if row.number in found]


def test_it_gets_its_accounts_events_and_no_others(store):
    ours, both, everything = limited(store, ACCOUNT), limited(store, ACCOUNT, SILENT_ACCOUNT), subscribe(store.database)
    (mine,), (other,) = pend(store), pend(store, account=SILENT_ACCOUNT)

    assert given_to(store, ours) == [("invoice.pending", mine)]
    assert given_to(store, both) == given_to(store, everything)
    assert given_to(store, both) == [("invoice.pending", mine), ("invoice.pending", other)]
    assert store.database.read(find_endpoint, ours).accounts == {ACCOUNT}
    assert store.database.read(find_endpoint, everything).accounts is None


def test_a_refused_order_is_told_to_its_account_s_endpoints(store):
    ours, others = (limited(store, one, events=[ORDER_REJECTED]) for one in (ACCOUNT, SILENT_ACCOUNT))
    refused = RefusedOrder(ACCOUNT, "1", "1")
    store.reject([Rejection("0" * 64, "invoices.create", "price: is wrong", "{}", complete=True, order=refused)])

    assert [kind for kind, _ in given_to(store, ours)] == [ORDER_REJECTED]
    assert given_to(store, others) == []


def test_what_is_everybody_s_it_gets_too(store):
    ours = limited(store, ACCOUNT)
    event = NewEvent.of_no_invoice(new_id("evt"), RESTORED, b"{}")
    with store.database.transaction() as connection:
        add_events(connection, [event], store.database.now(connection))

    assert [kind for kind, _ in given_to(store, ours)] == [RESTORED]


def test_no_replay_brings_it_others_events(store):
    (mine,), (other,) = pend(store), pend(store, account=SILENT_ACCOUNT)
    ours = limited(store, ACCOUNT)
    for types in ((), ("invoice.pending",)):
        job = replay.plan(store, Choice(ours, types))
        assert [one.invoice_id for one in job.events] == [mine], types
    theirs = rows(store.database, EVENT, EVENT.c.invoice_id == other)[0].id
    with pytest.raises(replay.NotForEndpoint, match="limited to other accounts"):
        replay.plan_one(store, theirs, ours)
    assert replay.plan_one(store, rows(store.database, EVENT, EVENT.c.invoice_id == mine)[0].id, ours)
