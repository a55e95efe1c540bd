"""The newest part of an invoice's history, and one invoice's events sent once more."""

from __future__ import annotations

from decimal import Decimal

import pytest

from domain.decision import Stage
from tests.contracts.store_cases import (
    OPERATOR,
    deliveries_of,
    events_of,
    evidence_of,
    judge,
    open_store,
    pend,
    rows,
    seen,
    subscribe,
)
from workers.store.operate.replay import NoSuchEndpoint, NoSuchEvent, replay_of_invoice
from workers.store.reads.history import read_history
from workers.store.reads.record import read_record
from workers.store.tables import ACT


@pytest.fixture
def store(database):
    return open_store(database)


def pay_in_parts(store, invoice_id, number):
    for part in range(1, number + 1):
        judge(store, invoice_id, seen("partially_paid", paid_amount=Decimal(part) / 100))


def test_a_short_history_is_the_whole_record(store):
    endpoint = subscribe(store.database)
    (invoice_id,) = pend(store, pay_amount=Decimal(1))
    pay_in_parts(store, invoice_id, 2)

    whole = store.database.read(read_record, store.database, invoice_id)
    recent = store.database.read(read_history, store.database, invoice_id, 100)

    assert recent is not None
    assert whole is not None
    for part in ("evidence", "events", "deliveries", "callbacks", "payments", "acts", "agenda", "invoice"):
        assert getattr(recent, part) == getattr(whole, part)
    assert {delivery.endpoint_id for delivery, _ in recent.deliveries} == {endpoint}


def test_of_a_long_history_the_newest_is_read_and_then_what_was_before(store):
    (invoice_id,) = pend(store, pay_amount=Decimal(1))
    pay_in_parts(store, invoice_id, 7)
    kept, told = evidence_of(store.database, invoice_id), events_of(store.database, invoice_id)

    recent = store.database.read(read_history, store.database, invoice_id, 3)
    assert recent is not None
    older = store.database.read(read_history, store.database, invoice_id, 3, recent.evidence[0].at)

    assert older is not None
    assert [row.id for row in recent.evidence] == [row.id for row in kept[-3:]]
    assert [row.number for row in recent.events] == [row.number for row in told[-3:]]
    assert [row.id for row in older.evidence] == [row.id for row in kept[-6:-3]]


def test_of_no_invoice_there_is_no_history(store):
    assert store.database.read(read_history, store.database, "inv_nobody", 3) is None


def test_an_invoices_events_are_sent_once_more_all_of_them_or_the_newest(store):
    (invoice_id,) = pend(store, pay_amount=Decimal(1))
    pay_in_parts(store, invoice_id, 2)
    other = pend(store)[0]
    endpoint = subscribe(store.database)

    assert replay_of_invoice(store, OPERATOR, invoice_id, endpoint, only_newest=True) == 1
    assert [one.sequence for one in deliveries_of(store.database, invoice_id)] == [3]
    assert replay_of_invoice(store, OPERATOR, invoice_id, endpoint, only_newest=False) == 3
    assert sorted(one.sequence for one in deliveries_of(store.database, invoice_id)) == [1, 2, 3]
    assert deliveries_of(store.database, other) == []
    did = rows(store.database, ACT)[-1]
    assert (did.act, did.invoice_id, did.endpoint_id, did.by) == ("events.replay", invoice_id, endpoint, OPERATOR.name)


def test_a_replay_of_an_invoice_rings_for_its_endpoint(database):
    rung: list[tuple[Stage, str]] = []
    store = open_store(database, rung)
    endpoint = subscribe(database)
    (invoice_id,) = pend(store)
    rung.clear()

    replay_of_invoice(store, OPERATOR, invoice_id, endpoint, only_newest=False)

    assert ("deliver", endpoint) in [(str(stage), name) for stage, name in rung]


def test_what_an_endpoints_filter_leaves_out_is_not_replayed_to_it(store):
    endpoint = subscribe(store.database, ["invoice.paid"])
    (invoice_id,) = pend(store, pay_amount=Decimal(1))

    with pytest.raises(NoSuchEvent):
        replay_of_invoice(store, OPERATOR, invoice_id, endpoint, only_newest=False)
    judge(store, invoice_id, seen("paid"))
    assert replay_of_invoice(store, OPERATOR, invoice_id, endpoint, only_newest=False) == 1


def test_a_replay_to_nobody_is_refused(store):
    (invoice_id,) = pend(store)

    with pytest.raises(NoSuchEndpoint):
        replay_of_invoice(store, OPERATOR, invoice_id, "ep_nobody", only_newest=False)
