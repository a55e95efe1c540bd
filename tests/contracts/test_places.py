"""Rows of the agenda are removed by their place; one that is elsewhere by now is found by its key."""

from concurrent import futures
from dataclasses import dataclass
from unittest import mock

import pytest
from sqlalchemy import select, text

from domain.decision import Stage
from tests.servers import wait_until
from workers.store import places, quick
from workers.store.bulk import insert_rows
from workers.store.tables import AGENDA

ROWS = [(Stage.CREATE.value, "inv_1"), (Stage.CHECK.value, "inv_1"), (Stage.DELIVER.value, "ep_1/inv_1")]


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
    connection.execute(AGENDA.update().where(AGENDA.c.subject == ROWS[2][1]).values(claims=1))
    places.remove(connection, {key: found[key] for key in ROWS[1:]})
    assert left(connection) == {ROWS[0]}


def test_a_row_without_a_place_is_found_by_its_key(connection):
    places.remove(connection, {ROWS[0]: Locked(None), ROWS[1]: Locked("(0,1)")})
    assert left(connection) == {ROWS[2]}


def test_the_place_of_a_row_that_somebody_else_changed_while_its_lock_was_waited_for_is_the_new_one(database):
    if database.engine.dialect.name != "postgresql":
        return  # SQLite has one writer at a time, and no places
    with database.transaction() as connection:
        now = database.now(connection)
        row = {"stage": ROWS[0][0], "lane": "shop", "due_at": now, "claims": 0, "pokes": 0}
        insert_rows(connection, AGENDA, [row | {"subject": f"inv_{number}"} for number in range(5)])
    with database.engine.connect() as other, futures.ThreadPoolExecutor(1) as threads:
        other.execute(AGENDA.update().values(pokes=1))
        removing = threads.submit(remove_all, database)
        wait_until(lambda: waits_for_a_lock(database), "the second transaction waits")
        other.commit()
        assert removing.result(60) == [5]
    with database.reading() as connection:
        assert left(connection) == set()


def remove_all(database):
    """How many rows each removal by place took off."""
    taken: list[int] = []
    with database.transaction() as connection, mock.patch.object(places, "execute", counting(taken)):
        places.remove(connection, locked(connection))
    return taken


def counting(taken):
    def execute(*given):
        found = quick.execute(*given)
        taken.append(found.rowcount)
        return found

    return execute


def waits_for_a_lock(database):
    waiting = text("SELECT count(*) FROM pg_locks WHERE NOT granted")
    with database.reading() as connection:
        return connection.execute(waiting).scalar_one()


def test_no_plan_that_was_made_for_a_small_agenda_is_kept(database):
    if database.engine.dialect.name != "postgresql":
        return  # SQLite keeps no plans
    with database.transaction() as connection:
        row = {"stage": ROWS[0][0], "lane": "shop", "due_at": database.now(connection), "claims": 0, "pokes": 0}
        insert_rows(connection, AGENDA, [row | {"subject": f"inv_{number:02}"} for number in range(15)])
        for key, found in locked(connection).items():
            places.remove(connection, {key: found})
        kept = text("SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE 'DELETE FROM agenda WHERE ctid%'")
        assert connection.execute(kept).scalar_one() == 0
        assert left(connection) == set()
