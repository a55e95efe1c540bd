"""The stream's fence: a counter, healed where Redis is wrong, and never against who really took the row over."""

from __future__ import annotations

import asyncio
import json
import uuid
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st
from redis.asyncio import Redis

from domain.decision import Stage
from tests.contracts.store_cases import HandClock, change, judge, now, open_store, pend, rows, seen, wait_until
from workers.delivery.stream import MAX_FENCE, EventStream, StaleFence, read_kept
from workers.stages import publish
from workers.store.agenda import PUBLISH_LANE
from workers.store.database import Database
from workers.store.fence import GREATEST_FENCE, next_fence
from workers.store.tables import AGENDA

NOW = datetime(2026, 11, 21, 20, 19, tzinfo=UTC)
MICROSECONDS = 1_795_292_340_000_000  #: of NOW
LEASE = 10.0


@asynccontextmanager
async def a_stream(url):
    """A stream of its own: the stream, its client, its key."""
    key = f"invoices:events:{uuid.uuid4().hex}"
    async with Redis.from_url(url, protocol=2) as client:
        yield EventStream(client, key, 10_000), client, key
        await client.delete(key, f"{key}:fence")


async def told(client, key):
    """(invoice, sequence) of each entry."""
    entries = [json.loads(fields[b"event"]) for _, fields in await client.xrange(key)]
    return [(entry["subject"], int(entry["sequence"])) for entry in entries]


async def run_publisher(store, stream, claim=None):
    """One claim of the stream's row, as the pump works it off; the claim."""
    if claim is None:
        (claim,) = await asyncio.to_thread(store.publishing.claim_publisher, 1, LEASE)
    work = cast("Any", publish(store, stream))
    results = await work.perform(PUBLISH_LANE, [claim])
    await asyncio.to_thread(work.commit, results)
    return claim


def prepared(database, events=20):
    store = open_store(database)
    store.add_standing()
    return store, [(invoice_id, 1) for invoice_id in pend(store, events)]


# ---------------------------------------------------------------- the counter


@given(st.integers(0, 2 * GREATEST_FENCE - 2), st.datetimes(timezones=st.just(UTC)))
def test_a_fence_grows_whatever_the_clock_says_and_lua_can_tell_it_apart(kept, at):
    assert kept < next_fence(kept, at) <= MAX_FENCE


def test_a_fence_begins_where_the_release_before_stands():
    assert next_fence(None, NOW) == MICROSECONDS
    assert next_fence(MICROSECONDS + 600_000_000, NOW) == MICROSECONDS + 600_000_001


@pytest.mark.parametrize("kept", [-1, 0, 2 * GREATEST_FENCE, 2**62])
def test_what_is_no_fence_in_the_row_is_begun_anew(kept):
    assert next_fence(kept, NOW) == MICROSECONDS


def test_fences_grow_while_the_clock_is_set_back(tmp_path, sqlite_template):
    path, clock = tmp_path / "invoices.db", HandClock(NOW)
    path.write_bytes(sqlite_template.read_bytes())
    database = Database(f"sqlite:///{path}", clock=clock)
    store, _ = prepared(database, 1)
    fences = []
    for ahead in (0, 600, -600, 0, 0, 86_400 * 365 * 6000, 0):
        clock.time = NOW + timedelta(seconds=ahead)
        change(database, AGENDA, AGENDA.c.stage == "publish", due_at=clock.time)
        (claim,) = store.publishing.claim_publisher(1, LEASE)
        store.finish(claim, 0)
        fences.append(claim.fence)
    database.close()

    assert fences == sorted(set(fences))


# ---------------------------------------------------------------- what stands in Redis

WRONG = {
    "minutes ahead": b"%d" % (MICROSECONDS + 10**14),
    "the greatest that can be a fence": b"%d" % GREATEST_FENCE,
    "beyond what can be a fence": b"%d" % (GREATEST_FENCE + 1),
    "beyond what Lua tells apart": b"%d" % 2**60,
    "a very long number": b"9" * 400,
    "a word": b"garbage",
    "nothing at all": b"",
    "no number": b"nan",
    "without end": b"inf",
    "with an exponent": b"9e99",
    "a fraction": b"7e15",
    "bytes": b"\xff\x00\xfe",
    "long": b"x" * 10_000,
    "of another time": b"-5",
}


@pytest.mark.parametrize("kept", WRONG.values(), ids=WRONG.keys())
def test_whatever_stands_in_the_place_of_the_fence_all_is_told_in_order(database, valkey_url, kept):
    async def story():
        async with a_stream(valkey_url) as (stream, client, key):
            store, events = prepared(database)
            await client.set(f"{key}:fence", kept)
            with structlog.testing.capture_logs() as logged:
                await run_publisher(store, stream)
            assert await told(client, key) == events
            assert 0 < int(await client.get(f"{key}:fence")) <= MAX_FENCE
            assert [line["event"] for line in logged] == ([] if kept == b"-5" else ["stream.fence_ahead"])

            more = [(invoice_id, 1) for invoice_id in pend(store, 3)]
            with structlog.testing.capture_logs() as logged:
                await run_publisher(store, stream)
            assert await told(client, key) == events + more
            assert logged == []
            assert not store.publishing.unpublished(10)

    asyncio.run(story())


def test_a_list_in_the_place_of_the_fence_is_replaced(database, valkey_url):
    async def story():
        async with a_stream(valkey_url) as (stream, client, key):
            store, events = prepared(database)
            await client.rpush(f"{key}:fence", "1", "2")
            await run_publisher(store, stream)
            assert await told(client, key) == events
            assert read_kept(await client.get(f"{key}:fence")) is not None

    asyncio.run(story())


def test_who_writes_there_again_and_again_is_not_fought_for_ever(database, valkey_url):
    async def story():
        async with a_stream(valkey_url) as (stream, client, key):
            store, _ = prepared(database)
            lift = store.publishing.lift_fence

            def lift_and_be_overtaken(claim, above):
                fence = lift(claim, above)
                asyncio.run(overtake(key))
                return fence

            async def overtake(key):
                async with Redis.from_url(valkey_url, protocol=2) as other:
                    await other.incrby(f"{key}:fence", 10**12)

            await client.set(f"{key}:fence", MICROSECONDS + 10**14)
            publishing = SimpleNamespace(
                lift_fence=lift_and_be_overtaken,
                place_events=store.publishing.place_events,
                mark_told=store.publishing.mark_told,
                unpublished=store.publishing.unpublished,
                mark_published=store.publishing.mark_published,
            )
            crowded = SimpleNamespace(publishing=publishing, finish=store.finish)
            (claim,) = store.publishing.claim_publisher(1, LEASE)
            with structlog.testing.capture_logs() as logged:
                await run_publisher(crowded, stream, claim)
            assert [line["event"] for line in logged][-1] == "stream.lease_lost"
            assert await told(client, key) == []
            assert len(store.publishing.claim_publisher(1, LEASE)) == 1, "the row is free for the next try"

    asyncio.run(story())


# ---------------------------------------------------------------- two publishers


def test_who_lost_the_row_is_refused_and_lifts_nothing(database, valkey_url):
    async def story():
        async with a_stream(valkey_url) as (stream, client, key):
            store, events = prepared(database)
            (slow,) = store.publishing.claim_publisher(1, LEASE)
            stale = store.publishing.unpublished(100)
            change(database, AGENDA, AGENDA.c.stage == "publish", due_at=now(database))
            await run_publisher(store, stream)
            in_force = await client.get(f"{key}:fence")

            with pytest.raises(StaleFence):
                await stream.append([(event.id, event.body) for event in stale], slow.fence)
            assert store.publishing.lift_fence(slow, int(in_force)) is None
            pend(store)
            with structlog.testing.capture_logs() as logged:
                await run_publisher(store, stream, slow)

            assert [line["event"] for line in logged] == ["stream.lease_lost"]
            assert await told(client, key) == events
            assert await client.get(f"{key}:fence") == in_force

    asyncio.run(story())


def test_two_publishers_that_race_over_a_fence_ahead_tell_all_of_it_and_nothing_early(database, valkey_url):
    """The lease of each is taken over again and again while it lifts the fence, and garbage is written in between."""

    async def story():
        async with a_stream(valkey_url) as (stream, client, key):
            store, events = prepared(database, 40)
            done = asyncio.Event()

            async def tell(other):
                while not done.is_set():
                    for claim in await asyncio.to_thread(other.publishing.claim_publisher, 1, 0.0):
                        await run_publisher(other, stream, claim)

            async def disturb():
                for turn in range(12):
                    wrong = [b"garbage", b"%d" % (MICROSECONDS + 10**14 * (turn + 1)), b"9" * 30][turn % 3]
                    await client.set(f"{key}:fence", wrong)
                    await asyncio.to_thread(pend, store, 2)
                    await asyncio.to_thread(judge, store, events[turn][0], seen("paid"))
                await asyncio.to_thread(wait_until, lambda: not store.publishing.unpublished(1), "all told")
                done.set()

            async with asyncio.timeout(120), asyncio.TaskGroup() as group:
                group.create_task(tell(open_store(database)))
                group.create_task(tell(open_store(database)))
                group.create_task(disturb())
            found = await told(client, key)
            assert len(set(found)) == 40 + 24 + 12
            assert set(events) <= set(found)
            told_of: dict[str, int] = {}
            for subject, sequence in found:
                assert sequence <= told_of.get(subject, 0) + 1
                told_of[subject] = max(sequence, told_of.get(subject, 0))

    asyncio.run(story())


def test_publishers_of_both_releases_alternate_without_a_refusal(database, valkey_url):
    """The first release fences by the microseconds of its claim, and knows nothing of the counter."""

    async def story():
        async with a_stream(valkey_url) as (stream, client, key):
            store, events = prepared(database, 1)
            for turn in range(6):
                events += [(invoice_id, 1) for invoice_id in pend(store, 2)]
                with structlog.testing.capture_logs() as logged:
                    if turn % 2:
                        await run_publisher(store, stream)
                    else:
                        (claim,) = store.claim(Stage.PUBLISH, PUBLISH_LANE, 1, LEASE)
                        await run_publisher(store, stream, claim)
                assert logged == []
            assert await told(client, key) == events
            assert rows(database, AGENDA, AGENDA.c.stage == "publish")[0].fence == int(await client.get(f"{key}:fence"))

    asyncio.run(story())
