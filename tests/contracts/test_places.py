"""Rows of the agenda are removed by their place; one that is elsewhere by now is found by its key."""

from dataclasses import dataclass

import pytest
from sqlalchemy import select

from workers.store import places
from workers.store.bulk import insert_rows
from workers.store.tables import AGENDA

ROWS = [("CREATE", "inv_1"), ("CHECK", "inv_1"), ("DELIVER", "ep_1/inv_1")]


@dataclass
class Locked:
    place: str | None


@pytest.fixture
def connection(database):
    with database.transaction() as connection:
        now = database.now(connection)
        row = {"lane": "shop", "due_at": now, "claims": 0, "pokes": 0}
        insert_rows(connection, AGENDA, [row | {"stage": stage, "subject": subject} for stage, subject in ROWS])
        yield connection


def locked(connection):
    found = select(AGENDA.c.stage, AGENDA.c.subject, places.place(connection.dialect.name)).with_for_update()
    return {(row.stage, row.subject): Locked(row.place) for row in connection.execute(found)}


def left(connection):
    return set(map(tuple, connection.execute(select(AGENDA.c.stage, AGENDA.c.subject))))


def test_exactly_the_named_rows_go(connection):
    found = locked(connection)
    places.remove(connection, {key: found[key] for key in ROWS[:2]})
    assert left(connection) == {ROWS[2]}


def test_no_row_is_no_statement(connection):
    places.remove(connection, {})
    assert left(connection) == set(ROWS)


def test_a_row_that_this_transaction_has_changed_since_is_found_by_its_key(connection):
    found = locked(connection)
    connection.execute(AGENDA.update().values(claims=1))
    places.remove(connection, {key: found[key] for key in ROWS[1:]})
    assert left(connection) == {ROWS[0]}


def test_a_row_without_a_place_is_found_by_its_key(connection):
    places.remove(connection, {ROWS[0]: Locked(None), ROWS[1]: Locked("(0,1)")})
    assert left(connection) == {ROWS[2]}
