"""What is asked of one account is found by index, however many invoices and callbacks the others have."""

from __future__ import annotations

import contextlib
import re
import shutil
from typing import Any

import pytest
from sqlalchemy import text

from domain.evidence import Created, Unreachable
from tests.contracts.plan_cases import explained
from tests.contracts.store_cases import ACCOUNT, SILENT_ACCOUNT, judge, open_store, pend, queue, rows
from tests.engines import new_postgres_database
from workers.store.callbacks import NewCallback, newest_at
from workers.store.database import Database
from workers.store.reads import made_at_provider
from workers.store.reads.accounts import (
    read_clocks_off,
    read_failing_look_ups,
    read_unheard_watches,
    read_waiting_creates,
)
from workers.store.reads.callbacks import read_calls
from workers.store.tables import CALLBACK, EVIDENCE, INVOICE

#: SQLite's plans don't depend on how many there are.
MANY = {"postgresql": 40_000, "sqlite": 1_000}
#: The index of invoices' ids.
KEY = {"postgresql": "invoice_pkey", "sqlite": "autoindex_invoice_1"}
#: What differs from row to row: half of all are another account's, and the invoices are months old.
ACCOUNTS = "CASE WHEN n % 2 = 0 THEN {} ELSE 'other' END"
OWN = {
    "invoice": {
        "id": "'inv_00' || substr(id, 7, 24) || (100000 + n)",
        "order_id": "order_id || n",
        "idempotency_key": "idempotency_key || n",
        "provider_ref": "provider_ref || n",
        "account": ACCOUNTS.format("account"),
        "provider_account": ACCOUNTS.format("provider_account"),
    },
    "evidence": {"id": "id + n", "invoice_id": "'inv_00' || substr(invoice_id, 7, 24) || (100000 + n)"},
    "callback": {"id": "id + n", "digest": "digest || n", "account": ACCOUNTS.format("account")},
}


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.engines)])
def full(request, tmp_path):
    """Two accounts have many invoices, made and called back; the third a few, and no callback."""
    with contextlib.ExitStack() as cleanup:
        if request.param == "sqlite":
            shutil.copyfile(request.getfixturevalue("sqlite_template"), tmp_path / "invoices.db")
            url = f"sqlite:///{tmp_path}/invoices.db"
        else:
            template = request.getfixturevalue("postgres_template")
            server = request.getfixturevalue("postgres_url")
            url = cleanup.enter_context(new_postgres_database(server, template))
        database = Database(url)
        cleanup.callback(database.close)
        store = open_store(database)
        pend(store)
        said: dict[str, Any] = {"order_id": "x", "reference": None, "word": "COMPLETED", "amount": None}
        store.keep_callbacks([NewCallback(account=ACCOUNT, digest="first", body=b"{}", headers="{}", **said)])
        for table in (INVOICE, EVIDENCE, CALLBACK):
            multiply(database, table)
        yield database


def multiply(database, table):
    """Every row of a table so many times."""
    own = OWN[table.name]
    names = [column.name for column in table.c]
    many = MANY[database.engine.dialect.name]
    numbers = f"WITH RECURSIVE g (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM g WHERE n < {many})"
    values = ", ".join(own.get(name, name) for name in names)
    with database.transaction() as connection:
        first = f"(SELECT * FROM {table.name} ORDER BY id LIMIT 1) AS first"
        connection.execute(
            text(f"INSERT INTO {table.name} ({', '.join(names)}) {numbers} SELECT {values} FROM g, {first}")
            if not database.is_postgresql
            else text(f"{numbers} INSERT INTO {table.name} ({', '.join(names)}) SELECT {values} FROM g, {first}")
        )
        if database.is_postgresql and table is not INVOICE:
            name = f"{table.name}_id_seq"
            connection.execute(text(f"SELECT setval('{name}', (SELECT max(id) FROM {table.name}))"))
        if database.is_postgresql:
            connection.execute(text(f"ANALYZE {table.name}"))


def assert_by_index(plan, *indexes):
    """No table that grows is read from end to end, nor sorted for the sake of a few rows."""
    scanned = r"^.*(?:Seq Scan on|\bSCAN) (?:invoice|evidence|callback|agenda)\b(?!.*USING).*$"
    assert not re.findall(scanned, plan, re.MULTILINE), plan
    for index in indexes:
        assert index in plan, plan


@pytest.mark.parametrize("account", [ACCOUNT, SILENT_ACCOUNT])
def test_an_account_s_newest_callback_and_its_first_invoice_since(full, account):
    pend(open_store(full), 2, account=account)
    plan = explained(full, lambda: full.read(newest_at, account), r"SELECT callback")
    assert_by_index(plan, "ix_callback_account")
    assert not re.search("Sort|TEMP B-TREE", plan), plan
    plan = explained(full, lambda: full.read(read_calls, account, full.time()), r"SELECT")
    assert_by_index(plan, KEY[full.engine.dialect.name])
    assert full.read(read_calls, account, full.time()).unheard_since is not None


def test_accounts_whose_provider_s_clock_is_off(full):
    store = open_store(full)
    judge(store, queue(store, account=SILENT_ACCOUNT), Created(provider_ref="late", clock_off_seconds=-60))
    found = []
    plan = explained(full, lambda: found.extend(full.read(read_clocks_off, [ACCOUNT, SILENT_ACCOUNT])), r"SELECT")
    assert_by_index(plan, KEY[full.engine.dialect.name], "ix_evidence_invoice")
    assert [(account, seconds) for account, seconds, _ in found] == [(SILENT_ACCOUNT, -60)]


def test_one_that_makes_few_among_very_many_is_found_by_its_references(full, monkeypatch):
    monkeypatch.setattr(made_at_provider, "WALKED", 10)
    (rare,) = pend(open_store(full), account=SILENT_ACCOUNT)
    pend(open_store(full), 20)
    found = []
    plan = explained(full, lambda: found.extend(full.read(made_at_provider.newest_made, SILENT_ACCOUNT, 20)), r"SELECT")
    assert_by_index(plan, KEY[full.engine.dialect.name], "uq_invoice_provider_ref")
    assert found == [rare]


def test_what_waits_for_a_provider_and_what_no_look_up_answers(full):
    store = open_store(full)
    judge(store, queue(store), Unreachable(reason="connection refused"))
    (made,) = pend(store)
    judge(store, made, Unreachable(reason="connection refused"))
    for ask in (
        lambda: full.read(read_waiting_creates),
        lambda: full.read(read_failing_look_ups),
        lambda: full.read(read_unheard_watches, ACCOUNT, full.time()),
    ):
        assert_by_index(explained(full, ask, r"SELECT"), "ix_invoice_held_up")
    assert [(one.stage, one.invoices) for one in full.read(read_waiting_creates)] == [("create", 1)]
    assert [(one.stage, one.invoices) for one in full.read(read_failing_look_ups)] == [("check", 1)]
    assert len(rows(full, INVOICE)) > MANY[full.engine.dialect.name]
