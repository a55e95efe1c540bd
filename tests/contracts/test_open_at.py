"""What is open, and what was open at an instant, on both databases."""

from __future__ import annotations

import re
from datetime import timedelta
from decimal import Decimal

import pytest
from sqlalchemy import text, update

from domain.evidence import CancelRequested
from tests.contracts.archive_cases import end
from tests.contracts.plan_cases import copy_invoice, explained
from tests.contracts.store_cases import judge, open_store, pend, queue, seen
from workers.store.reads.open_at import TooLongAgo, open_at, open_now
from workers.store.retention import Retention
from workers.store.tables import EVENT

ASKED = Decimal("0.0358619204")


def now(store):
    return store.database.time()


def were_open(store, at):
    return [(one.invoice, one.status, one.paid_amount) for one in open_at(store.database, at)]


def are_open(store):
    return [(one.invoice, one.status, one.paid_amount) for one in open_now(store.database, now(store))]


def test_each_open_invoice_is_a_line_in_the_order_of_their_making(store):
    waiting, paid, partly, queued = *pend(store, 3, pay_amount=ASKED), queue(store)
    judge(store, paid, seen("paid"))
    judge(store, partly, seen("partially_paid", paid_amount=Decimal("0.01")))
    expected = [(waiting, "pending", None), (partly, "partially_paid", Decimal("0.01")), (queued, "queued", None)]
    assert are_open(store) == were_open(store, now(store)) == expected


def test_an_invoice_whose_status_changes_while_they_are_read_is_one_line(store):
    first, second = pend(store, 2, pay_amount=ASKED)
    judge(store, first, seen("confirming"))
    found = open_now(store.database, now(store))
    assert next(found).invoice == first
    judge(store, second, seen("confirming"))
    assert [one.invoice for one in found] == [second]


def test_none_is_missed_for_a_status_that_changes_while_they_are_read(store, monkeypatch):
    monkeypatch.setattr("workers.store.reads.open_at.PAGE", 2)
    ids = pend(store, 6, pay_amount=ASKED)
    judge(store, ids[0], seen("confirming"))
    found = open_now(store.database, now(store))
    begun = [next(found).invoice for _ in range(2)]
    judge(store, ids[5], seen("confirming"))
    assert [*begun, *(one.invoice for one in found)] == ids


def test_an_earlier_instant_is_told_as_it_was(store):
    before = now(store)
    first, second = pend(store, 2, pay_amount=ASKED)
    made = now(store)
    judge(store, first, seen("partially_paid", paid_amount=Decimal("0.01")))
    partly = now(store)
    judge(store, first, seen("paid", paid_amount=ASKED))
    judge(store, second, CancelRequested(reason="sold out"))
    pend(store)
    assert were_open(store, before) == []
    assert were_open(store, made) == [(first, "pending", None), (second, "pending", None)]
    assert were_open(store, partly) == [(first, "partially_paid", Decimal("0.01")), (second, "pending", None)]
    assert [one[0] for one in were_open(store, now(store))] == [one[0] for one in are_open(store)]


def test_an_order_that_was_queued_then_is_told_as_queued(store):
    invoice_id = queue(store)
    queued = now(store)
    judge(store, invoice_id, CancelRequested(reason="sold out"))
    assert were_open(store, queued) == [(invoice_id, "queued", None)]


def test_a_late_payment_does_not_open_an_invoice_again(store):
    (invoice_id,) = pend(store, pay_amount=ASKED)
    judge(store, invoice_id, seen("expired"))
    expired = now(store)
    judge(store, invoice_id, seen("paid", paid_amount=ASKED))
    assert were_open(store, expired) == []


def test_an_instant_whose_events_were_removed_is_refused_with_the_earliest_that_can_be_told(store):
    end(store)
    with store.database.transaction() as connection:
        aged = update(EVENT).values(created_at=store.database.now(connection) - timedelta(days=91))
        connection.execute(aged)
    long_ago = now(store) - timedelta(days=92)
    assert were_open(store, long_ago) == []
    end(store)
    with store.database.transaction() as connection:
        assert Retention().remove_finished(connection, store.database.now(connection) - timedelta(days=90))
    with pytest.raises(TooLongAgo) as refused:
        were_open(store, long_ago)
    assert refused.value.since is not None
    assert refused.value.since > long_ago
    assert are_open(store) == []


def test_pages_are_found_by_index_among_many_invoices(crowded):
    store = open_store(crowded)
    ids = pend(store, 20)
    copy_invoice(crowded, ids[0], 30_000)
    with crowded.transaction() as connection:
        connection.execute(text("ANALYZE"))
    for read in (open_now, open_at):
        plan = explained(crowded, lambda read=read: list(read(crowded, crowded.time())), "SELECT")
        assert not re.search(r"(Seq Scan on|\bSCAN) invoice\b", plan), plan
