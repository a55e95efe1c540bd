"""Positions: without a gap, once an event, each invoice's in its order, whoever dies, waits or writes beside."""

from __future__ import annotations

import asyncio
from importlib import import_module

import pytest
from redis.exceptions import ConnectionError as RedisAway
from sqlalchemy import text

from tests.contracts.position_cases import LEASE, Stream, assert_whole, claim, place, read, run_publisher
from tests.contracts.store_cases import (
    Background,
    change,
    in_threads,
    invoice_of,
    judge,
    now,
    open_store,
    pend,
    rows,
    seen,
    wait_until,
    writer,
)
from workers.store import judging, outbox
from workers.store.judging import Judgement
from workers.store.outbox import NewEvent
from workers.store.positions import LeaseLost, place_events
from workers.store.reads.log import read_page
from workers.store.tables import AGENDA, EVENT, POSITION

stage = import_module("workers.stages.publish")


# ---------------------------------------------------------------- given


def test_events_get_their_positions_in_the_order_of_their_numbers_and_once(database):
    store = open_store(database)
    first, second = pend(store, 2)
    judge(store, second, seen("paid"))
    assert place(store, 2) == 2
    judge(store, first, seen("confirming"))
    assert (place(store), place(store)) == (2, 0)
    assert read(database) == [(1, first, 1), (2, second, 1), (3, second, 2), (4, first, 2)]
    assert read(database, 1, 2) == [(2, second, 1), (3, second, 2)]
    assert_whole(database)


def test_what_is_just_being_told_is_passed_over(database):
    store = open_store(database)
    pend(store, 3)
    held = claim(store)
    numbers = [event.number for event in store.publishing.unpublished(10)]
    assert [store.publishing.place_events(held, 10, numbers[:1]), store.publishing.place_events(held, 10, numbers)] == [
        numbers[1:],
        [],
    ]
    assert [event.position for event in store.publishing.unpublished(10)] == [None, 1, 2]


def test_an_event_that_commits_late_comes_later_and_is_skipped_by_nobody(database):
    store = open_store(database)
    slow, quick = pend(store, 2)
    place(store)
    with database.transaction() as connection:
        judging.judge(connection, database, store.policy_of, [Judgement(slow, seen("paid"))])
        other = Background(lambda: judge(store, quick, seen("paid")))
        if database.is_postgresql:
            other.result()
            place(store)
            assert read(database, 2) == [(3, quick, 2)]
    other.result()
    place(store)
    if database.is_postgresql:
        assert read(database, 3) == [(4, slow, 2)]
    assert_whole(database)


def test_who_has_lost_the_row_gives_nothing_and_neither_does_who_never_had_it(database):
    store = open_store(database)
    pend(store)
    slow = claim(store)
    quick = claim(store)
    with pytest.raises(LeaseLost):
        store.publishing.place_events(slow, 10)
    assert rows(database, POSITION) == []
    assert len(store.publishing.place_events(quick, 10)) == 1
    change(database, AGENDA, AGENDA.c.stage == "publish", lease_token=None)
    with pytest.raises(LeaseLost):
        store.publishing.place_events(quick, 10)


def test_nobody_takes_the_row_over_while_positions_are_given(database):
    """Else a holder that sleeps in the middle would go on beside the next one."""
    store = open_store(database)
    pend(store, 3)
    held = claim(store)
    change(database, AGENDA, AGENDA.c.stage == "publish", due_at=now(database))
    with database.transaction() as connection:
        assert len(place_events(connection, held, 2)) == 2
        other = Background(lambda: open_store(database).publishing.claim_publisher(1, LEASE))
        if database.is_postgresql:
            assert other.result() == []
    if database.is_postgresql:
        assert len(open_store(database).publishing.claim_publisher(1, LEASE)) == 1
    else:
        assert len(other.result()) == 1
    assert place(store) == 1
    assert_whole(database)


def test_publishers_that_take_the_row_from_each_other_leave_no_gap_and_no_repeat(database):
    ids = pend(open_store(database), 8)
    open_store(database).add_standing()
    finished: list[int] = []

    def give():
        store = open_store(database)

        def sweep():
            over = len(finished) == 2
            given: list[int] = []
            for held in store.publishing.claim_publisher(1, 0.0):  # its lease is over at once
                try:
                    given = store.publishing.place_events(held, 3)
                except LeaseLost:
                    return False
            return over and not given and not database.read(lambda c: c.scalar(_WITHOUT))

        wait_until(sweep, "every event has its position")

    writers = [writer(database, ids, seed, finished) for seed in (1, 2)]
    in_threads(*writers, give, give, give)
    assert_whole(database)
    assert {invoice_of(database, one).status for one in ids} == {"refunded"}


_WITHOUT = text("SELECT count(*) FROM event WHERE number NOT IN (SELECT event_number FROM event_position)")


# ---------------------------------------------------------------- beside the stream


def test_a_holder_that_dies_before_it_tells_leaves_positions_that_stay(database):
    store = open_store(database)
    ids = pend(store, 3)
    place(store)  # and dies
    before = read(database)
    stream = Stream()
    judge(store, ids[0], seen("paid"))
    asyncio.run(run_publisher(store, stream))
    assert read(database)[:3] == before
    assert stream.told == [event.id for event in rows(database, EVENT)]
    assert_whole(database)
    assert rows(database, EVENT, EVENT.c.positioned.is_(None)) == []


def test_a_stream_that_is_away_holds_no_position_up_and_is_told_of_all_when_it_is_back(database, monkeypatch):
    monkeypatch.setattr(stage, "PUBLISH_BATCH", 4)
    store = open_store(database)

    async def away():
        raise RedisAway("gone")

    ids = pend(store, 11)
    asyncio.run(run_publisher(store, Stream(away)))
    assert_whole(database)
    for one in ids:
        judge(store, one, seen("paid"))
    asyncio.run(run_publisher(store, Stream(away)))
    assert_whole(database)
    # Of those that wait to be told few are looked at again for a position.
    assert len(rows(database, EVENT, EVENT.c.positioned.is_(None))) <= 8
    stream = Stream()
    asyncio.run(run_publisher(store, stream))
    assert stream.told == [event.id for event in rows(database, EVENT)]
    assert store.publishing.unpublished(1) == []


def test_a_stream_that_keeps_us_waiting_holds_no_position_up(database, monkeypatch):
    monkeypatch.setattr(stage, "PATIENCE_SECONDS", 0.01)
    store = open_store(database)
    pend(store, 2)

    async def story():
        go = asyncio.Event()
        stream = Stream(go.wait)
        telling = asyncio.create_task(run_publisher(store, stream))
        await asyncio.to_thread(wait_until, lambda: len(read(database)) == 2, "both have their positions")
        await asyncio.to_thread(pend, store, 3)
        await asyncio.to_thread(wait_until, lambda: len(read(database)) == 5, "the new ones have theirs")
        assert stream.told == []
        go.set()
        await telling
        return stream.told

    told = asyncio.run(story())
    assert told == [event.id for event in rows(database, EVENT)]
    assert_whole(database)


def test_what_a_worker_of_the_release_before_published_gets_its_position_before_what_follows_it(database):
    store = open_store(database)
    ids = pend(store, 3)
    numbers = [event.number for event in store.publishing.unpublished(10)]
    change(database, EVENT, EVENT.c.number.in_(numbers), published_at=now(database))  # as it marks them
    assert len(store.publishing.claim_publisher(1, LEASE) or [claim(store)]) == 1, "there is something to do"
    for one in ids:
        judge(store, one, seen("paid"))
    stream = Stream()
    asyncio.run(run_publisher(store, stream))
    assert [sequence for _, _, sequence in read(database)] == [1, 1, 1, 2, 2, 2]
    assert len(stream.told) == 3, "the stream knows the others"
    assert not database.read(outbox.any_untold), "there is nothing left to do"
    assert_whole(database)


@pytest.mark.parametrize("mark", [False, True])
def test_rows_that_somebody_keeps_locked_hold_no_position_up(database, mark):
    store = open_store(database)
    pend(store, 5)
    with database.reading() as operator:
        if database.is_postgresql:  # SQLite has one writer at a time, and readers in nobody's way
            operator.execute(text("SELECT 1 FROM event FOR UPDATE"))
        assert len(store.publishing.place_events(claim(store), 3, mark=mark)) == 3
        assert len(store.publishing.place_events(claim(store), 3, mark=mark)) == 2
    assert_whole(database)


# ---------------------------------------------------------------- whose they are


def test_a_reader_of_some_accounts_sees_theirs_and_everybodys_and_comes_as_far_as_the_others(database):
    store = open_store(database)
    (mine,) = pend(store)
    (other,) = pend(store, account="nebulox")
    with database.transaction() as connection:
        at = database.now(connection)
        refused = b'{"source":"/invoices","data":{"account":"nebulox"}}'
        told = [
            NewEvent.of_no_invoice("evt_1", "order.rejected", refused),
            NewEvent.of_no_invoice("evt_2", "system.restored", b"{}"),
            NewEvent("evt_3", "inv_1", 1, "invoice.paid", b"none of ours"),
        ]
        outbox.add_events(connection, told, at)
    place(store)
    page = database.read(read_page, 0, 10, ["zeroxhost"])
    assert [(entry.position, entry.account) for entry in page.entries] == [(1, "zeroxhost"), (4, None)]
    assert page.next == 5
    page = database.read(read_page, 0, 10, ["nebulox"])
    assert [(entry.position, entry.account) for entry in page.entries] == [(2, "nebulox"), (3, "nebulox"), (4, None)]
    assert database.read(read_page, 0, 1, ["nebulox"]).next == 2
    assert database.read(read_page, 0, 10, []).entries == [(4, None, b"{}")]
    assert [entry.position for entry in database.read(read_page, 0, 10).entries] == [1, 2, 3, 4, 5]
    assert mine != other
