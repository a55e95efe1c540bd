"""Positions that are missing, marked by others, lost or left behind: they are mended, and hold nothing up."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from importlib import import_module
from typing import Any, cast

import pytest
from sqlalchemy import text
from structlog.testing import capture_logs

from tests.contracts.position_cases import Stream, assert_whole, claim, make_old, place, read, run_publisher
from tests.contracts.store_cases import change, now, open_store, pend, rows, subscribe
from workers.stages import publish
from workers.store import outbox, retention, walk
from workers.store.outbox import NewEvent
from workers.store.positions import NOBODYS
from workers.store.reads.log import read_page
from workers.store.tables import EVENT, LOG, POSITION

stage = import_module("workers.stages.publish")


def test_what_a_worker_of_the_release_before_told_after_a_holder_died_is_nothing_left_to_do(database):
    store = open_store(database)
    pend(store, 3)
    place(store)  # and dies
    change(database, EVENT, published_at=now(database))  # the other one told the stream, and marks no more than this
    held = claim(store)
    asyncio.run(run_publisher(store, Stream(), held))
    assert not database.read(outbox.any_untold), "there is nothing left to do"
    assert_whole(database)


def test_events_whose_positions_were_lost_get_others_and_hold_nothing_up(database):
    store = open_store(database)
    pend(store, 2)
    with database.transaction() as connection:
        connection.execute(EVENT.update().values(positioned=1))
    pend(store)
    stream = Stream()
    asyncio.run(run_publisher(store, stream))
    assert stream.told == [event.id for event in rows(database, EVENT)]
    assert len(read(database)) == 3


def test_a_claim_that_can_do_nothing_rests_before_the_next_one(database):
    store = open_store(database)
    pend(store)
    place(store)
    change(database, EVENT, published_at=now(database))
    perform = cast("Any", publish(store, cast("Any", Stream())).perform)
    with database.reading() as operator:
        if database.is_postgresql:  # SQLite has no locks of rows
            operator.execute(text("SELECT 1 FROM event FOR UPDATE"))
        (result,) = asyncio.run(perform("stream", [claim(store)]))
    assert result[1] == stage.REST_SECONDS
    assert database.read(outbox.any_untold) == database.is_postgresql


def test_an_event_that_can_t_be_placed_ends_the_claim_and_is_told(database, monkeypatch):
    store = open_store(database)
    pend(store)
    monkeypatch.setattr(store.publishing, "place_events", lambda *_, **__: [])
    with capture_logs() as told:
        asyncio.run(run_publisher(store, stream := Stream()))
    assert stream.told == []
    assert [one["event"] for one in told if one["log_level"] == "error"] == ["stream.unplaced"]


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("order.rejected", b"not JSON"),
        ("order.rejected", b'{"data": null}'),
        ("order.rejected", b'{"data": {"account": 7}}'),
        ("order.rejected", b'{"data": {"account": "' + b"a" * 129 + b'"}}'),
        ("order.rejected", b'{"data": {"account": "a\\u0000b"}}'),
        ("invoice.paid", b'{"source":"/invoices/\xff\xfe"}'),
        ("invoice.paid", b'{"source":"/invoices/' + b"a" * 200 + b'"}'),
    ],
)
def test_an_event_whose_account_can_t_be_read_is_nobody_s_and_holds_no_other_up(database, kind, body):
    store = open_store(database)
    with database.transaction() as connection:
        sequence = 1 if kind == "invoice.paid" else outbox.NO_SEQUENCE
        outbox.add_events(connection, [NewEvent("evt_1", "inv_1", sequence, kind, body)], database.now(connection))
    pend(store)
    assert place(store) == 2
    placed = [(row.position, row.account) for row in rows(database, POSITION)]
    assert sorted(placed) == [(1, NOBODYS), (2, "zeroxhost")]


def test_positions_of_events_that_are_gone_are_found_behind_any_number_that_stay(database, monkeypatch):
    monkeypatch.setattr(retention, "BATCH", 2)
    monkeypatch.setattr(walk, "LOOKED_AT", 2)
    store = open_store(database)
    subscribe(database)  # waits for the events, and so keeps them
    pend(store, 8)
    asyncio.run(run_publisher(store, Stream()))
    make_old(database)
    numbers = [event.number for event in rows(database, EVENT)]
    with database.transaction() as connection:
        connection.execute(EVENT.delete().where(EVENT.c.number.in_(numbers[3:6])))
    removed = [store.remove_finished(timedelta(days=90)) for _ in range(20)]
    assert removed[:4] == [1, 1, 1, 0], "each counts, so that the next batch follows"
    assert [row.position for row in rows(database, POSITION)] == [1, 2, 3, 7, 8]
    assert rows(database, LOG)[0].removed == 6
    with database.transaction() as connection:
        connection.execute(EVENT.delete())
    while store.remove_finished(timedelta(days=90)):
        pass
    assert rows(database, POSITION) == []
    assert database.read(read_page, 8, 10) == ([], 8)
