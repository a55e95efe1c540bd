"""What is read of one invoice, on both databases: repeats folded into their row, each name found, all by index."""

from __future__ import annotations

import re

import pytest

from domain.evidence import InDoubt, Unreachable, Unreadable
from tests.contracts.plan_cases import explained
from tests.contracts.store_cases import (
    ACCOUNT,
    created,
    evidence_of,
    judge,
    open_store,
    order,
    pend,
    queue,
    seen,
    subscribe,
    take,
)
from workers.store.judging import Judgement
from workers.store.reads.record import read_record
from workers.store.reads.search import search, siblings_of
from workers.store.reads.timeline import timeline
from workers.store.tables import EVIDENCE


def repeats(database, invoice_id):
    return [(row.kind, row.repeats) for row in evidence_of(database, invoice_id)]


def test_what_is_said_again_is_counted_in_the_row_that_was_kept(database):
    store = open_store(database)
    invoice_id = queue(store)
    for _ in range(3):
        judge(store, invoice_id, Unreachable(reason="refused"))
    judge(store, invoice_id, Unreachable(reason="no such host"))
    store.judge([Judgement(invoice_id, Unreachable(reason="no such host"))] * 2)
    assert repeats(database, invoice_id) == [("Unreachable", 2), ("Unreachable", 2)]
    first, second = evidence_of(database, invoice_id)
    assert first.at < first.last_at < second.at < second.last_at


def test_a_batch_counts_for_each_invoice_its_own(database):
    store = open_store(database)
    ids = [queue(store) for _ in range(3)]
    lost = InDoubt(reason="reset")
    store.judge([Judgement(one, lost) for one in ids for _ in range(ids.index(one) + 2)])
    assert [repeats(database, one)[-1] for one in ids] == [("InDoubt", None), ("InDoubt", 1), ("InDoubt", 2)]


def test_an_answer_that_brings_nothing_new_is_no_repeat(database):
    store = open_store(database)
    (invoice_id,) = pend(store)
    for evidence in (Unreadable(reason="a"), seen("pending"), seen("pending"), Unreadable(reason="a")):
        judge(store, invoice_id, evidence)
    assert repeats(database, invoice_id) == [("Created", None), ("Unreadable", None), ("Unreadable", None)]


def test_a_row_that_somebody_holds_is_not_waited_for(database):
    if not database.is_postgresql:
        pytest.skip("SQLite locks no rows")
    store = open_store(database)
    invoice_id = queue(store)
    judge(store, invoice_id, Unreachable(reason="refused"))
    with database.transaction() as connection:
        connection.execute(EVIDENCE.select().with_for_update())
        judge(store, invoice_id, Unreachable(reason="refused"))
    assert repeats(database, invoice_id) == [("Unreachable", None)]
    judge(store, invoice_id, Unreachable(reason="refused"))
    assert repeats(database, invoice_id) == [("Unreachable", 1)]


def test_every_name_of_an_invoice_finds_it(database):
    store = open_store(database)
    long = "bc1q" + "x" * 5_000  # longer than an ordered index takes
    (invoice_id,) = take(store, order("order-1", idempotency_key="key-1"))
    judge(store, invoice_id, created(provider_ref="ref-1", address=long))
    judge(store, invoice_id, seen("confirming", tx_hash="0xAB" + "c" * 62))
    event = database.read(read_record, database, invoice_id).events[0].id
    for name, kind in (
        (invoice_id, "id"),
        ("order-1", "order"),
        (event, "event"),
        ("key-1", "idempotency key"),
        ("ref-1", "reference"),
        ("ab" + "C" * 62, "transaction"),
        (long, "address"),
    ):
        found = database.read(search, name)
        assert (found.kind, [row.id for row in found.rows]) == (kind, [invoice_id])
        other = database.read(search, name, "nobody")
        assert other is None or kind == "id"
    assert database.read(search, "nothing") is None


def test_a_name_of_many_gives_the_newest_and_says_that_there_are_more(database, monkeypatch):
    monkeypatch.setattr("workers.store.reads.search.MOST", 3)
    store = open_store(database)
    ids = pend(store, 5, address="shared")
    found = database.read(search, "shared")
    assert ([row.id for row in found.rows], found.more) == (ids[:1:-1], True)
    siblings = database.read(siblings_of, found.newest)
    assert (siblings.rows, siblings.more) == ([], False)


def test_a_record_is_read_by_index(database):
    """But for what is small: endpoints, and on PostgreSQL, which reads a table of one page whole, everything."""
    if database.is_postgresql:
        pytest.skip("its plans depend on how much there is")
    store = open_store(database)
    subscribe(database)
    ids = pend(store, 20, address="shared")
    name = database.read(search, ids[0]).newest.provider_ref

    def read():
        database.read(read_record, database, ids[0])
        for wanted in (ids[0], "order-1", "evt_1", "key-1", name, "cf2e" * 16, "shared"):
            database.read(search, wanted)

    plan = explained(database, read, r"SELECT")
    scanned = [found for found in re.findall(r"\bSCAN (\w+)(.*)", plan) if "USING" not in found[1]]
    assert {table for table, _ in scanned} <= {"endpoint", "CONSTANT"}, plan


def test_a_timeline_is_pure_and_in_order(database):
    store = open_store(database)
    (invoice_id,) = pend(store, account=ACCOUNT)
    judge(store, invoice_id, seen("paid", tx_hash="cf2e" * 16))
    record = database.read(read_record, database, invoice_id)
    entries = timeline(record)
    assert [entry.what for entry in entries] == ["order", "Created", "invoice.pending", "Seen", "invoice.paid"]
    assert entries == timeline(record)
    assert [entry.at for entry in entries] == sorted(entry.at for entry in entries)
