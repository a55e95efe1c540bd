"""An outsider holds locks for longer than a lease: no order is created twice, and in the end nothing is missing."""

from __future__ import annotations

import contextlib
import sqlite3
import time

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from domain.schedule import DOUBT_RETRY_SECONDS
from tests.contracts.stalled_workers import LEASE_SECONDS, ORDERS, shorten_leases, working
from tests.contracts.store_cases import (
    deliveries_of,
    events_of,
    invoice_of,
    queue,
    rows,
    subscribe,
    wait_until,
)
from tests.engines import new_postgres_database
from workers.store.database import Database
from workers.store.tables import KEPT

PLENTY = 1.25  #: leases that the lock is held for

ROWS = {
    "the endpoint": "SELECT 1 FROM endpoint FOR UPDATE",
    "every invoice": "SELECT 1 FROM invoice FOR UPDATE",
    "some invoices": "SELECT 1 FROM invoice ORDER BY id LIMIT 5 FOR UPDATE",
    "every agenda row": "SELECT 1 FROM agenda FOR UPDATE",
    "some of each": "SELECT 1 FROM invoice, agenda, endpoint WHERE subject = invoice.id AND invoice.id >"
    " (SELECT min(id) FROM invoice) FOR UPDATE",
}
TABLES = {
    f"the table {table}, {mode}": f"LOCK TABLE {table} IN {mode} MODE"
    for table, mode in [
        ("event", "EXCLUSIVE"),
        ("event", "ACCESS EXCLUSIVE"),
        ("delivery", "SHARE"),
        ("invoice", "EXCLUSIVE"),
        ("agenda", "SHARE ROW EXCLUSIVE"),
        ("agenda", "ACCESS EXCLUSIVE"),
        ("endpoint", "ACCESS EXCLUSIVE"),
        ("evidence", "SHARE"),
    ]
}
QUICK = {"some of each"}  #: the others wait as long, one after the other
LOCKS = [name if name in QUICK else pytest.param(name, marks=pytest.mark.engines) for name in (*ROWS, *TABLES)]


@pytest.fixture(autouse=True)
def short_leases(monkeypatch):
    shorten_leases(monkeypatch)


@pytest.fixture
def url(postgres_template, postgres_url):
    with new_postgres_database(postgres_url, postgres_template) as url:
        yield url


@pytest.fixture
def outsider(url):
    database = Database(url)
    yield database
    database.close()


def pass_leases(count=PLENTY):
    """So long that every lease of before would be over."""
    until = time.monotonic() + count * LEASE_SECONDS
    wait_until(lambda: time.monotonic() > until, "the leases are over")


@contextlib.contextmanager
def working_while_locked(url, outsider, held):
    """The calls are answered while an outsider holds a lock, for longer than the leases."""
    with working(url) as workers:
        workers.start()
        workers.wait_until_called()
        with outsider.transaction() as connection:
            connection.execute(text((ROWS | TABLES)[held]))
            workers.provider.gate.set()
            pass_leases()
        yield workers


def assert_each_was_made_once(workers, database):
    wait_until(lambda: {invoice_of(database, one).status for one in workers.ids} == {"pending"}, "all are pending")
    assert set(workers.provider.calls.values()) == {1}
    assert len(workers.provider.calls) == ORDERS
    for one in workers.ids:
        assert [event.type for event in events_of(database, one)] == ["invoice.pending"]
        assert len(deliveries_of(database, one)) == 1
        assert invoice_of(database, one).doubts == 0


@pytest.mark.parametrize("held", LOCKS)
def test_orders_whose_commits_wait_for_an_outsider_s_lock_are_created_once(url, outsider, held):
    subscribe(outsider)
    with working_while_locked(url, outsider, held) as workers:
        assert_each_was_made_once(workers, outsider)
        wait_until(lambda: not rows(outsider, KEPT), "what was kept is judged and gone")


@pytest.mark.engines
@pytest.mark.parametrize("held", ["every invoice", "the table event, EXCLUSIVE"])
def test_answers_in_hand_are_judged_by_whoever_takes_the_rows_over(url, outsider, held, monkeypatch):
    """Leases are not renewed here: every row is claimed again, perhaps by another worker, while its answer waits."""
    monkeypatch.setattr("workers.store.store.Store.renew", lambda *_: None)
    subscribe(outsider)
    with working_while_locked(url, outsider, held) as workers:
        assert_each_was_made_once(workers, outsider)


def test_the_endpoint_s_lock_is_waited_for_by_nobody(url, outsider):
    subscribe(outsider)
    with working(url) as workers, outsider.transaction() as connection:
        connection.execute(text(ROWS["the endpoint"]))
        workers.provider.gate.set()
        workers.start()
        with_another = Database(url)
        assert_each_was_made_once(workers, with_another)
        with_another.close()


def test_orders_that_come_while_others_are_locked_go_on(url, outsider):
    """Whatever is locked: new orders of the same account are created and told meanwhile."""
    with working(url) as workers:
        workers.start()
        workers.wait_until_called()
        with outsider.transaction() as connection:
            connection.execute(text(ROWS["every invoice"]))
            workers.provider.gate.set()
            wait_until(lambda: len(seen_kept(workers)) == ORDERS, "the answers are kept")
            others = [queue(workers.stores[0]) for _ in range(3)]
            wait_until(
                lambda: {invoice_of(workers.databases[0], one).status for one in others} == {"pending"}, "the others"
            )
        wait_until(lambda: {invoice_of(outsider, one).status for one in workers.ids} == {"pending"}, "all are pending")
        assert set(workers.provider.calls.values()) == {1}


def seen_kept(workers):
    return rows(workers.databases[0], KEPT)


@pytest.mark.engines
def test_an_outsider_that_holds_sqlite_for_longer_than_a_lease_bills_nobody_twice(
    sqlite_template, tmp_path, monkeypatch
):
    """There nothing can be kept meanwhile, and nothing claimed: at the end holder and claimer race."""
    shorten_leases(monkeypatch, DOUBT_RETRY_SECONDS[0])
    path = tmp_path / "invoices.db"
    path.write_bytes(sqlite_template.read_bytes())
    url = f"sqlite:///{path}"
    database = Database(url)
    subscribe(database)
    with working(url) as workers:
        workers.start()
        workers.wait_until_called()
        outsider = sqlite3.connect(path, isolation_level=None, timeout=30)
        outsider.execute("BEGIN IMMEDIATE")
        workers.provider.gate.set()
        pass_leases()
        outsider.execute("ROLLBACK")
        outsider.close()
        wait_until(lambda: {invoice_of(database, one).status for one in workers.ids} == {"pending"}, "all are pending")
        assert set(workers.provider.calls.values()) == {1}
    database.close()


@pytest.mark.engines
def test_a_database_that_is_away_for_longer_than_a_lease_bills_nobody_twice(url, outsider, monkeypatch):
    """The workers live on, each with its answers in hand."""
    shorten_leases(monkeypatch, DOUBT_RETRY_SECONDS[0])
    away: list[bool] = []
    real = Database.transaction

    def transaction(self):
        if away:
            raise OperationalError("BEGIN", {}, Exception("the server is gone"))
        return real(self)

    with working(url) as workers:
        workers.start()
        workers.wait_until_called()
        monkeypatch.setattr(Database, "transaction", transaction)
        away.append(True)
        workers.provider.gate.set()
        pass_leases()
        away.clear()
        wait_until(lambda: {invoice_of(outsider, one).status for one in workers.ids} == {"pending"}, "all are pending")
        assert set(workers.provider.calls.values()) == {1}
