"""Callbacks about an invoice that somebody else keeps locked: they wait for it, and no other callback does."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest
from sqlalchemy import select, text

from domain.account import Account
from domain.decision import Stage
from domain.evidence import CalledBack
from domain.ports import CallbackUnreadable
from domain.status import Status
from tests.contracts.store_cases import (
    SILENT_ACCOUNT,
    Background,
    invoice_of,
    open_store,
    pend,
    rows,
    wait_until,
)
from tests.contracts.test_locked_rows import commit_all
from workers.stages.callbacks import callbacks
from workers.store.callbacks import NewCallback
from workers.store.database import Database
from workers.store.tables import AGENDA, CALLBACK

#: As an operator's session may hold them, by hand.
HELD = {
    "the invoice": "SELECT 1 FROM invoice WHERE order_id = :order FOR UPDATE",
    "its agenda rows": "SELECT 1 FROM agenda JOIN invoice ON id = subject WHERE order_id = :order FOR UPDATE OF agenda",
    "the callback": "SELECT 1 FROM callback WHERE order_id = :order FOR UPDATE",
    "the callback's agenda row": "SELECT 1 FROM agenda JOIN callback ON callback.id::text = subject "
    "WHERE stage = 'callback' AND order_id = :order FOR UPDATE OF agenda",
}


@pytest.fixture
def database(migrated_postgres_url):
    """SQLite has one writer at a time: no row is locked while others are written."""
    database = Database(migrated_postgres_url)
    yield database
    database.close()


def called_back(store, *orders):
    """Callbacks about these are kept and claimed."""
    for order_id in orders:
        said = {"order_id": order_id, "reference": None, "word": "COMPLETED", "amount": None}
        kept = NewCallback(account=SILENT_ACCOUNT, digest=order_id, body=order_id.encode(), headers="{}", **said)
        assert store.keep_callbacks([kept]) == [True]


def work_of(store, read_callback=None):
    def read(body):
        return CalledBack(status=Status.PAID, word="COMPLETED", order_id=body.decode())

    account = Account(name=SILENT_ACCOUNT, provider="nebulox", base_url="https://silent.example", api_key="key")
    return callbacks(
        store, {SILENT_ACCOUNT: account}, {"nebulox": SimpleNamespace(read_callback=read_callback or read)}
    )


def states(database):
    return {row.order_id: row.state for row in rows(database, CALLBACK)}


@pytest.mark.parametrize("what", HELD)
def test_what_somebody_keeps_locked_holds_up_its_own_callback_only_and_that_is_judged_in_the_end(database, what):
    store = open_store(database)
    ids = pend(store, 6, account=SILENT_ACCOUNT)
    orders = [invoice_of(database, one).order_id for one in ids]
    called_back(store, *orders)
    work = work_of(store)
    claims = work.claim(SILENT_ACCOUNT, 10)
    held = orders[2]

    with database.transaction() as operator:
        assert operator.execute(text(HELD[what]), {"order": held}).all()
        committed = Background(lambda: asyncio.run(commit_all(work, claims)))
        wait_until(lambda: {states(database)[one] for one in orders if one != held} == {"matched"}, "the others")
        assert states(database)[held] == "new"
    committed.result()
    assert set(states(database).values()) == {"matched"}
    assert not rows(database, AGENDA, AGENDA.c.stage == Stage.CALLBACK.value)


def test_what_is_left_is_brought_again_and_what_is_gone_is_not(database):
    store = open_store(database)
    (invoice_id,) = pend(store, 1, account=SILENT_ACCOUNT)
    order = invoice_of(database, invoice_id).order_id
    called_back(store, order, "gone")
    work = work_of(store)
    claims = work.claim(SILENT_ACCOUNT, 10)
    with database.transaction() as connection:
        gone = connection.execute(select(CALLBACK.c.id).where(CALLBACK.c.order_id == "gone")).scalar_one()
        connection.execute(CALLBACK.delete().where(CALLBACK.c.id == gone))

    with database.transaction() as operator:
        operator.execute(text(HELD["the invoice"]), {"order": order})
        left = work.commit(claims)
    assert [claim.subject for claim in left] == [claim.subject for claim in claims if claim.subject != str(gone)]
    assert work.commit(left) == []
    assert states(database) == {order: "matched"}


def test_a_callback_that_can_not_be_read_any_more_is_listed_and_holds_up_no_other(database):
    def read(body):
        if body == b"odd":
            raise CallbackUnreadable("status: must be a text")
        return CalledBack(status=Status.PAID, word="COMPLETED", order_id=body.decode())

    store = open_store(database)
    (invoice_id,) = pend(store, 1, account=SILENT_ACCOUNT)
    order = invoice_of(database, invoice_id).order_id
    called_back(store, "odd", order)
    work = work_of(store, read)

    assert work.commit(work.claim(SILENT_ACCOUNT, 10)) == []
    assert states(database) == {"odd": "unmatched", order: "matched"}
