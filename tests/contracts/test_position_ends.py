"""Both ends of the log: what was never given, what retention removed, what a restore forgot."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta

import pytest

from domain.sequence import MAX_EPOCH, POSITION_STEP, first_position
from tests.contracts.position_cases import Stream, make_old, place, read, run_publisher
from tests.contracts.store_cases import (
    OPERATOR,
    open_store,
    pend,
    rows,
)
from workers.store.operate.restoration import restore
from workers.store.reads.log import PositionGone, read_page
from workers.store.tables import EVENT, LOG, POSITION


def test_after_what_was_never_given_nothing_can_be_told(database):
    store = open_store(database)
    assert database.read(read_page, 0, 10) == ([], 0)
    pend(store, 2)
    assert database.read(read_page, 0, 10) == ([], 0)
    place(store)
    assert database.read(read_page, 2, 10) == ([], 2)
    with pytest.raises(PositionGone) as gone:
        database.read(read_page, 3, 10)
    assert gone.value.bounds == (0, 2)


def test_what_retention_removed_is_told_and_what_it_kept_goes_on(database):
    store = open_store(database)
    pend(store, 5)
    asyncio.run(run_publisher(store, Stream()))
    numbers = [event.number for event in rows(database, EVENT)]
    make_old(database, EVENT.c.number.in_(numbers[:3]))
    assert store.remove_finished(timedelta(days=90)) >= 3
    assert [row.position for row in rows(database, POSITION)] == [4, 5]
    for after in (0, 2):
        with pytest.raises(PositionGone) as gone:
            database.read(read_page, after, 10)
        assert gone.value.bounds == (3, 5)
    assert [position for position, _, _ in read(database, 3)] == [4, 5]
    make_old(database)
    store.remove_finished(timedelta(days=90))
    assert database.read(read_page, 5, 10) == ([], 5)
    pend(store)
    place(store)
    assert [position for position, _, _ in read(database, 5)] == [6]


def test_what_a_worker_of_the_release_before_removed_is_told_too(database):
    store = open_store(database)
    pend(store, 5)
    asyncio.run(run_publisher(store, Stream()))
    numbers = [event.number for event in rows(database, EVENT)]
    with database.transaction() as connection:
        connection.execute(EVENT.delete().where(EVENT.c.number.in_(numbers[:2])))
    for _ in range(2):
        with pytest.raises(PositionGone) as gone:
            database.read(read_page, 1, 10)
        assert gone.value.bounds == (2, 5)
        assert [position for position, _, _ in read(database, 2)] == [3, 4, 5]
        store.remove_finished(timedelta(days=90))
    assert [row.position for row in rows(database, POSITION)] == [3, 4, 5]
    assert rows(database, LOG)[0].removed == 2


def test_after_a_restore_no_position_is_given_that_was_told_before(database):
    store = open_store(database)
    pend(store, 3)
    place(store)
    for epoch in (1, 2):
        _, event_id = restore(store, OPERATOR, lambda _: 0.0)
        place(store)
        page = database.read(read_page, 3, 100)
        told = {json.loads(entry.body)["id"]: entry.position for entry in page.entries}
        assert told[event_id] == page.next > epoch * POSITION_STEP
        assert all(position > POSITION_STEP for position in told.values())
    with pytest.raises(PositionGone):
        database.read(read_page, page.next + 1, 10)


def test_positions_stay_exact_numbers_in_every_json_reader():
    assert first_position(MAX_EPOCH + 1) < 2**53
