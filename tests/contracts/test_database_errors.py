"""What is waited for, and what is a fault of the statement: only the first is worth trying for ever."""

from __future__ import annotations

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, ProgrammingError

from workers.store.database import UNAVAILABLE, Database, has_timed_out, is_locked_out


def error_of(database, *statements):
    with pytest.raises(DBAPIError) as caught:
        execute(database, statements)
    return caught.value


def execute(database, statements):
    with database.transaction() as connection:
        for statement in statements:
            connection.execute(text(statement))


@pytest.mark.parametrize("statement", ["SELECT 1 FROM nowhere", "SELECT tomorrow FROM invoice"])
def test_a_database_that_is_not_migrated_is_waited_for(database, statement):
    error = error_of(database, statement)
    assert "nowhere" in str(error.orig) or "tomorrow" in str(error.orig)
    assert not has_timed_out(error)
    assert isinstance(error, UNAVAILABLE)


def test_an_empty_database_is_waited_for(empty_database_url):
    database = Database(empty_database_url)
    assert isinstance(error_of(database, "UPDATE invoice SET reason = 'x'"), UNAVAILABLE)
    database.close()


@pytest.mark.parametrize(
    "statements",
    [["CREATE ROLE nobody_{n}", "SET ROLE nobody_{n}", "SELECT 1 FROM invoice"], ["SELECT 1 FROM elsewhere.invoice"]],
    ids=["a missing right", "a missing schema"],
)
def test_what_an_operator_has_yet_to_do_is_waited_for(database, statements):
    if not database.is_postgresql:
        return
    assert isinstance(error_of(database, *(one.format(n=id(database)) for one in statements)), UNAVAILABLE)


@pytest.mark.parametrize("statement", ["SELECT 1 + 'x'::text", "SELECT nothing_of_ours(1)", "SELEC 1"])
def test_a_statement_that_is_wrong_whenever_it_is_tried_is_a_fault(database, statement):
    if not database.is_postgresql:  # SQLite says the same of all of them, and of a table that is not there yet
        return
    error = error_of(database, statement)
    assert isinstance(error, ProgrammingError)
    assert not isinstance(error, UNAVAILABLE)


def test_a_statement_that_took_too_long_is_known_by_that(database):
    if not database.is_postgresql:
        return
    error = error_of(database, "SET LOCAL statement_timeout = 20", "SELECT pg_sleep(5)")
    assert isinstance(error, UNAVAILABLE)
    assert has_timed_out(error)
    assert not is_locked_out(error)


def test_a_lock_that_somebody_keeps_is_known_by_that(database):
    if not database.is_postgresql:  # one writer at a time, and no locks of rows
        return
    with database.transaction() as operator:
        operator.execute(text("LOCK TABLE invoice"))
        error = error_of(database, "SET LOCAL lock_timeout = 20", "UPDATE invoice SET reason = 'x'")
    assert isinstance(error, UNAVAILABLE)
    assert has_timed_out(error)
    assert is_locked_out(error)


@pytest.mark.parametrize("state", ["40P01", "40001"], ids=["a deadlock", "a serialization failure"])
def test_what_may_work_at_the_next_try_is_tried_again(database, state):
    if not database.is_postgresql:
        return
    error = error_of(database, f"DO $$ BEGIN RAISE EXCEPTION 'you lose' USING ERRCODE = '{state}'; END $$")
    assert isinstance(error, UNAVAILABLE)
    assert not has_timed_out(error)
