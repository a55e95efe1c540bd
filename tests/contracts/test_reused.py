"""A database that another test had is like a new one, or is not given again."""

from __future__ import annotations

import psycopg
import pytest

from tests.contracts.store_cases import open_store, pend, subscribe
from tests.reused import Reused
from workers.store.database import Database


@pytest.fixture
def own(postgres_url, postgres_template):
    """Databases of this test's own."""
    own = Reused(postgres_url, postgres_template)
    yield own
    own.close()


def connect(url):
    return psycopg.connect(url.replace("+psycopg", ""), autocommit=True)


def contents(url):
    """All rows and numbers of a database."""
    with connect(url) as connection:
        names = connection.execute("SELECT relname FROM pg_class WHERE relkind IN ('r', 'S') AND oid >= 16384")
        return {name: connection.execute(f'SELECT * FROM "{name}"').fetchall() for (name,) in names.fetchall()}


def without_log_counts(found):
    """A sequence says too how many numbers it may still give before it writes to the log."""
    return {name: [row[:1] + row[2:] if name.endswith("_seq") else row for row in rows] for name, rows in found.items()}


def test_the_next_test_finds_what_a_new_database_holds(own):
    with own.lend() as url:
        new = contents(url)
        database = Database(url)
        subscribe(database)
        pend(open_store(database), 3)
        database.close()
        assert contents(url) != new

    with own.lend() as again:
        assert again == url
        assert without_log_counts(contents(again)) == without_log_counts(new)


@pytest.mark.parametrize(
    "change",
    [
        "CREATE TABLE left_behind ()",
        "DROP INDEX ix_invoice_order",
        "ALTER TABLE endpoint ADD COLUMN left_behind text",
        "ALTER TABLE endpoint ALTER COLUMN url DROP NOT NULL",
        "GRANT SELECT ON invoice TO PUBLIC",
        "CREATE SCHEMA left_behind",
        "ANALYZE invoice",
        "CREATE INDEX left_behind ON invoice (id, order_id)",
    ],
)
def test_one_that_was_changed_is_not_given_again(own, change):
    with own.lend() as url, connect(url) as connection:
        connection.execute(change)
    with own.lend() as other:
        assert other != url


def test_one_that_has_grown_is_not_given_again(own):
    with own.lend() as url, connect(url) as connection:
        connection.execute("INSERT INTO drift_invoice SELECT n, 'some-invoice', now() FROM generate_series(1, 50000) n")
    with own.lend() as other:
        assert other != url


def test_one_that_somebody_is_still_connected_to_is_not_given_again(own):
    with own.lend() as url:
        left = connect(url)
    with own.lend() as other:
        assert other != url
    left.close()
