"""Refunds noticed by the store's own clock and agenda, as the stages work them off."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

from domain.decision import Stage
from domain.evidence import ClockRanOut
from domain.status import Status
from tests.contracts.store_cases import (
    ACCOUNT,
    agenda_of,
    change,
    claim_one,
    invoice_of,
    judge,
    make_due,
    now,
    pend,
    policy,
    seen,
)
from workers.providers.zeroxhost.statuses import STATUSES
from workers.store.agenda import CLOCK_LANE
from workers.store.reads.payments import payments_of
from workers.store.retention import Retention
from workers.store.store import Store
from workers.store.tables import INVOICE


def watching_store(database):
    return Store(database, {ACCOUNT: policy(refund_watch_days=Decimal(30))}, lambda _: None)


def ring_the_clock(store, invoice_id):
    make_due(store.database, invoice_id, Stage.CLOCK)
    judge(store, invoice_id, ClockRanOut(), claim_one(store, Stage.CLOCK, CLOCK_LANE))


def test_a_refund_at_0xhost_is_noticed_told_and_a_row(database):
    store = watching_store(database)
    (invoice_id,) = pend(store, pay_amount=Decimal("0.5"))
    judge(store, invoice_id, seen("paid"))
    assert set(agenda_of(database, invoice_id)) == {"clock"}

    ring_the_clock(store, invoice_id)
    look = claim_one(store, Stage.CHECK)
    status, _ = STATUSES["refunded"]
    judge(store, invoice_id, seen(str(status)), look)

    assert invoice_of(database, invoice_id).status == "refunded"
    assert agenda_of(database, invoice_id) == {}
    paid, refund = store.database.read(payments_of, invoice_id)
    assert (paid.settled_status, refund.kind, refund.settled_status) == ("paid", "refund", "refunded")
    assert refund.amount == Decimal("0.5")


def test_a_look_without_news_leaves_one_row_for_the_clock_alone(database):
    store = watching_store(database)
    (invoice_id,) = pend(store)
    judge(store, invoice_id, seen("paid"))
    ring_the_clock(store, invoice_id)
    judge(store, invoice_id, seen("paid"), claim_one(store, Stage.CHECK))
    planned = agenda_of(database, invoice_id)
    assert set(planned) == {"clock"}
    assert planned["clock"].due_at > now(database) + timedelta(hours=5)


def test_the_watch_ends_with_its_days(database):
    store = watching_store(database)
    (invoice_id,) = pend(store)
    judge(store, invoice_id, seen("paid"))
    change(database, INVOICE, INVOICE.c.id == invoice_id, updated_at=now(database) - timedelta(days=31))
    ring_the_clock(store, invoice_id)
    judge(store, invoice_id, seen("paid"), claim_one(store, Stage.CHECK))
    assert agenda_of(database, invoice_id) == {}


def test_retention_takes_the_events_of_an_invoice_that_is_watched_for_a_refund(database):
    store = watching_store(database)
    (invoice_id,) = pend(store)
    judge(store, invoice_id, seen("paid"))
    store.publishing.mark_published([event.number for event in store.publishing.unpublished(100)])
    with database.transaction() as connection:
        later = database.now(connection) + timedelta(days=20)
        assert Retention().remove_finished(connection, later) > 0
    assert invoice_of(database, invoice_id).status == Status.PAID
    assert set(agenda_of(database, invoice_id)) == {"clock"}
