"""A row that somebody else keeps locked, an operator's session say: the results of all others are committed."""

from __future__ import annotations

import asyncio
from functools import partial

import pytest
from sqlalchemy import select, text

from domain.decision import Stage
from tests.contracts.store_cases import (
    Background,
    deliveries_of,
    events_of,
    invoice_of,
    open_store,
    pend,
    rows,
    seen,
    subscribe,
    wait_until,
)
from workers.engine import EngineLog, Observer, Slots, Work
from workers.engine.commits import Commits
from workers.engine.store_calls import StoreCalls
from workers.stages.judging import judge
from workers.store.database import Database
from workers.store.deliveries import DeliveryAttempt
from workers.store.judging import Judgement
from workers.store.tables import AGENDA, INVOICE


async def commit_all(work, results):
    """As the pump does; until all is committed."""
    calls = StoreCalls()

    async def write(batch):
        return await calls.run(work.commit, batch)

    commits = Commits(work, calls, write, lambda _: None, EngineLog())
    runner = asyncio.create_task(commits.run())
    for result in results:
        commits.add(result)
    await commits.join()
    runner.cancel()
    calls.close()


@pytest.fixture
def database(migrated_postgres_url):
    """SQLite has one writer at a time: no row is locked while others are written."""
    database = Database(migrated_postgres_url)
    yield database
    database.close()


def test_a_row_that_an_operator_keeps_locked_holds_up_no_other_and_is_written_in_the_end(database):
    store = open_store(database)
    ids = pend(store, 20)
    work = Work(
        Stage.CHECK,
        list,
        lambda _: Slots(1),
        lambda *_: [],
        lambda item: item,
        partial(judge, store, observer=Observer()),
    )
    results, held = [Judgement(invoice_id, seen("paid")) for invoice_id in ids], ids.pop(7)

    with database.transaction() as operator:
        operator.execute(select(INVOICE).where(INVOICE.c.id == held).with_for_update())
        committed = Background(lambda: asyncio.run(commit_all(work, results)))
        wait_until(lambda: {invoice_of(database, one).status for one in ids} == {"paid"}, "the others")
        assert invoice_of(database, held).status == "pending"
    committed.result()
    assert invoice_of(database, held).status == "paid"


HELD = {
    "invoices": "SELECT 1 FROM invoice WHERE id = ANY (:ids) FOR UPDATE",
    "their agenda rows": "SELECT 1 FROM agenda WHERE subject = ANY (:ids) AND stage = 'check' FOR UPDATE",
    "the pairs to be poked": "SELECT 1 FROM agenda WHERE split_part(subject, '/', 2) = ANY (:ids) FOR UPDATE",
}


@pytest.mark.parametrize("held", HELD)
def test_what_somebody_else_holds_is_left_and_all_others_are_judged(database, held):
    store, endpoint_id = open_store(database), subscribe(database)
    ids = sorted(pend(store, 20))
    locked = ids[::3]
    judgements = [Judgement(invoice_id, seen("paid")) for invoice_id in ids]

    with database.transaction() as operator:
        operator.execute(text(HELD[held]), {"ids": locked})
        for _ in range(2):
            taken = store.judge_and_take(judgements, None)
            assert sorted(judgement.invoice_id for judgement in taken.left) == locked
        assert {invoice_of(database, one).status for one in set(ids) - set(locked)} == {"paid"}
        assert {invoice_of(database, one).status for one in locked} == {"pending"}

    assert store.judge_and_take(taken.left, None).left == []
    for one in ids:
        assert [event.type for event in events_of(database, one)] == ["invoice.pending", "invoice.paid"]
        assert [row.endpoint_id for row in deliveries_of(database, one)] == [endpoint_id] * 2


def test_an_invoice_that_is_not_there_is_missing_and_not_left(database):
    store = open_store(database)
    (held,) = pend(store)
    judgements = [Judgement("inv_none", seen("paid")), Judgement(held, seen("paid"))]
    with database.transaction() as operator:
        operator.execute(text(HELD["invoices"]), {"ids": [held]})
        taken = store.judge_and_take(judgements, None)
    assert [outcome.verdict for outcome in taken.outcomes] == ["missing"]
    assert taken.left == judgements[1:]


@pytest.mark.parametrize("table", ["agenda", "delivery"])
def test_tries_of_deliveries_that_somebody_holds_are_left_and_all_others_are_settled(database, table):
    store, endpoint_id = open_store(database), subscribe(database)
    ids = sorted(pend(store, 12))
    locked = ids[::3]
    tries = [DeliveryAttempt(delivery, "delivered") for delivery in store.claim_deliveries(endpoint_id, 100, 60)]
    held = {
        "agenda": HELD["the pairs to be poked"],
        "delivery": "SELECT 1 FROM delivery WHERE invoice_id = ANY (:ids) FOR UPDATE",
    }
    with database.transaction() as operator:
        operator.execute(text(held[table]), {"ids": locked})
        left = store.settle_free(tries)
        assert sorted(tried.delivery.claim.subject.split("/")[1] for tried in left) == locked
    assert {row.state for one in set(ids) - set(locked) for row in deliveries_of(database, one)} == {"delivered"}
    assert store.settle_free(left) == []
    assert {row.state for one in ids for row in deliveries_of(database, one)} == {"delivered"}
    assert rows(database, AGENDA, AGENDA.c.stage == "deliver") == []


def test_an_event_that_somebody_holds_keeps_no_other_from_being_marked_as_told(database):
    store = open_store(database)
    pend(store, 5)
    numbers = [event.number for event in store.publishing.unpublished(10)]
    with database.transaction() as operator:
        operator.execute(text("SELECT 1 FROM event WHERE number = :number FOR UPDATE"), {"number": numbers[2]})
        store.publishing.mark_published(numbers)
        assert [event.number for event in store.publishing.unpublished(10)] == [numbers[2]]
    store.publishing.mark_published(numbers)
    assert store.publishing.unpublished(10) == []
