"""A row that somebody else keeps locked, an operator's session say: the results of all others are committed."""

from __future__ import annotations

import asyncio
from functools import partial

import pytest
from sqlalchemy import select

from domain.decision import Stage
from tests.contracts.store_cases import Background, invoice_of, open_store, pend, seen, wait_until
from workers.pump import Slots, Work
from workers.pump.commits import Commits, StoreCalls
from workers.stages.judging import judge
from workers.store.database import Database
from workers.store.intake import INVOICE
from workers.store.judging import Judgement
from workers.store.schema import upgrade


async def commit_all(work, results):
    """As the pump does; until all is committed."""
    calls = StoreCalls()

    async def write(batch):
        return await calls.run(work.commit, batch)

    commits = Commits(work, calls, write, lambda _: None)
    runner = asyncio.create_task(commits.run())
    for result in results:
        commits.add(result)
    await commits.join()
    runner.cancel()
    calls.close()


@pytest.fixture
def database(new_postgres_url):
    """SQLite has one writer at a time: no row is locked while others are written."""
    upgrade(new_postgres_url)
    database = Database(new_postgres_url)
    yield database
    database.close()


def test_a_row_that_an_operator_keeps_locked_holds_up_no_other_and_is_written_in_the_end(database):
    store = open_store(database)
    ids = pend(store, 20)
    work = Work(Stage.CHECK, list, lambda _: Slots(1), lambda *_: [], lambda item: item, partial(judge, store))
    results, held = [Judgement(invoice_id, seen("paid")) for invoice_id in ids], ids.pop(7)

    with database.transaction() as operator:
        operator.execute(select(INVOICE).where(INVOICE.c.id == held).with_for_update())
        committed = Background(lambda: asyncio.run(commit_all(work, results)))
        wait_until(lambda: {invoice_of(database, one).status for one in ids} == {"paid"}, "the others")
        assert invoice_of(database, held).status == "pending"
    committed.result()
    assert invoice_of(database, held).status == "paid"
