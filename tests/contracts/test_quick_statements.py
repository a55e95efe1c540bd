"""Statements that are handed straight to PostgreSQL's driver bring what SQLAlchemy would bring, errors included."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from sqlalchemy import bindparam, event, func, insert, literal, select, text, update
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError

from tests.contracts.store_cases import open_store, order
from workers.store.bulk import insert_rows
from workers.store.database import UNAVAILABLE, Database, is_locked_out
from workers.store.invoice_locks import _locked_invoices
from workers.store.quick import execute
from workers.store.tables import AGENDA, INVOICE

ROW = {"stage": "create", "subject": "inv_1", "lane": "shop", "due_at": datetime(2026, 1, 1, tzinfo=UTC), "claims": 0}


@pytest.fixture
def postgres(migrated_postgres_url):
    database = Database(migrated_postgres_url)
    yield database
    database.close()


@contextlib.contextmanager
def slowly(database):
    """SQLAlchemy executes what somebody listens to."""
    heard = []

    def hear(*args):
        heard.append(args[2])

    event.listen(database.engine, "before_cursor_execute", hear)
    try:
        yield heard
    finally:
        event.remove(database.engine, "before_cursor_execute", hear)


def test_an_invoice_is_the_same_row(postgres):
    store = open_store(postgres)
    [added] = store.add_orders([(order(price="12.50"), "nebulox")])
    statement, given = _locked_invoices("postgresql"), {"key_id": [added.invoice_id]}

    def read():
        with postgres.transaction() as connection:
            found = execute(connection, statement, given)
            return list(found.keys()), found.all()

    names, [quick] = read()
    with slowly(postgres) as heard:
        slow_names, [slow] = read()
    assert heard
    assert names == slow_names
    assert tuple(quick) == tuple(slow)
    assert quick.price == Decimal("12.50")
    assert [type(value) for value in quick] == [type(value) for value in slow]


def test_values_are_written_as_their_columns_want_it(postgres):
    given = bindparam("amount", type_=INVOICE.c.price.type)
    time = bindparam("time", type_=INVOICE.c.created_at.type)
    statement = select(given.label("amount"), time.label("time"), literal("x").label("fixed"), func.now())
    now = datetime(2026, 1, 1, 12, tzinfo=UTC)
    with postgres.transaction() as connection:
        row = execute(connection, statement, {"amount": Decimal("1E+3"), "time": now}).one()
        assert (row.amount, row.time, row.fixed) == (Decimal(1000), now, "x")
        with pytest.raises(ValueError, match="without a zone"):
            execute(connection, statement, {"amount": None, "time": now.replace(tzinfo=None)})


def test_text_tells_its_columns_itself(postgres):
    with postgres.transaction() as connection:
        found = execute(connection, text("SELECT 1 AS one, 'b' AS two UNION SELECT 2, 'c' ORDER BY 1"), {})
        assert [(row.one, row.two) for row in found] == [(1, "b"), (2, "c")]
        assert list(found.scalars()) == [1, 2]


def test_rows_that_were_changed_are_counted(postgres):
    with postgres.transaction() as connection:
        insert_rows(connection, AGENDA, [ROW, ROW | {"subject": "inv_2"}])
        assert execute(connection, update(AGENDA).values(claims=1), {}).rowcount == 2


def test_a_list_of_values_is_left_to_sqlalchemy(postgres):
    with postgres.transaction() as connection:
        insert_rows(connection, AGENDA, [ROW])
        found = execute(connection, select(AGENDA.c.subject).where(AGENDA.c.stage.in_(["create", "check"])), {})
        assert list(found.scalars()) == ["inv_1"]


def test_a_key_that_is_taken_is_an_integrity_error(postgres):
    with pytest.raises(IntegrityError), postgres.transaction() as connection:
        insert_rows(connection, AGENDA, [ROW, ROW])
    with postgres.transaction() as connection:
        assert execute(connection, select(AGENDA.c.subject), {}).all() == []


def test_a_locked_row_is_told_as_one(postgres):
    statement = select(AGENDA.c.subject).with_for_update(nowait=True)
    with postgres.transaction() as connection:
        insert_rows(connection, AGENDA, [ROW])
    with postgres.transaction() as holder:
        execute(holder, statement, {})
        with pytest.raises(UNAVAILABLE) as caught, postgres.transaction() as connection:
            execute(connection, statement, {})
    assert is_locked_out(caught.value)


def test_a_table_that_is_missing_is_waited_for(postgres):
    with pytest.raises(UNAVAILABLE), postgres.transaction() as connection:
        execute(connection, text("SELECT 1 FROM nowhere"), {})


@pytest.mark.parametrize(("word", "error"), [("a\0b", DataError), ("\ud800", UnicodeEncodeError)])
def test_text_that_cannot_be_stored_is_an_error_of_its_own(postgres, word, error):
    with pytest.raises(error), postgres.transaction() as connection:
        execute(connection, select(bindparam("word", type_=AGENDA.c.subject.type)), {"word": word})
    with slowly(postgres), pytest.raises(error), postgres.transaction() as connection:
        execute(connection, select(bindparam("word", type_=AGENDA.c.subject.type)), {"word": word})


def test_a_lost_connection_is_replaced(postgres):
    with pytest.raises(UNAVAILABLE) as caught, postgres.transaction() as connection:
        execute(connection, text("SELECT pg_terminate_backend(pg_backend_pid())"), {})
    assert isinstance(caught.value, DBAPIError)
    assert caught.value.connection_invalidated
    with postgres.transaction() as connection:
        assert execute(connection, text("SELECT 1"), {}).one()[0] == 1


def test_outside_of_a_transaction_sqlalchemy_begins_one(postgres):
    with postgres.engine.connect() as connection:
        execute(connection, insert(AGENDA).values(ROW), {})
        assert connection.in_transaction()
        connection.commit()
    with postgres.transaction() as connection:
        assert list(execute(connection, select(AGENDA.c.subject), {}).scalars()) == ["inv_1"]
