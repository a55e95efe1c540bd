"""The event stream, on a stand-in and on a real Valkey."""

from __future__ import annotations

import asyncio
import json
import uuid

import pytest
from fakeredis import FakeAsyncRedis
from redis.asyncio import Redis

from workers.delivery.stream import CHUNK, EventStream, StaleFence

STREAM = "invoices:events"


def events(*numbers):
    return [(f"evt_{n}", json.dumps({"id": f"evt_{n}", "amount": "0.0358619204", "ü": n}).encode()) for n in numbers]


async def ids(client, stream):
    return [json.loads(fields[b"event"])["id"] for _, fields in await client.xrange(stream)]


@pytest.fixture(params=["stand-in", "valkey"])
def run(request):
    """Runs a story against a client and a stream of its own."""
    url = request.getfixturevalue("valkey_url") if request.param == "valkey" else None
    stream = f"{STREAM}:{uuid.uuid4().hex}"

    def play(story):
        async def told():
            client = Redis.from_url(url, protocol=2) if url else FakeAsyncRedis()
            try:
                await story(client, stream)
                await client.delete(stream, f"{stream}:fence")
            finally:
                await client.aclose()

        asyncio.run(told())

    return play


def test_events_arrive_in_order_with_their_very_bytes(run) -> None:
    async def story(client, stream):
        publisher = EventStream(client, stream, maxlen=1000)
        await publisher.append(events(1, 2), fence=1)
        await publisher.append(events(3), fence=1)
        assert await ids(client, stream) == ["evt_1", "evt_2", "evt_3"]
        assert (await client.xrange(stream))[0][1] == {b"event": events(1)[0][1]}

    run(story)


def test_an_older_fence_is_refused_and_adds_nothing(run) -> None:
    async def story(client, stream):
        publisher = EventStream(client, stream, maxlen=1000)
        await publisher.append(events(1), fence=7)
        with pytest.raises(StaleFence) as caught:
            await publisher.append(events(2), fence=6)
        assert (caught.value.fence, caught.value.in_force) == (6, 7)
        await publisher.append(events(3), fence=8)
        assert await ids(client, stream) == ["evt_1", "evt_3"]

    run(story)


def test_big_fences_are_told_apart(run) -> None:
    async def story(client, stream):
        publisher = EventStream(client, stream, maxlen=1000)
        await publisher.append(events(1), fence=2**53)
        with pytest.raises(StaleFence):
            await publisher.append(events(2), fence=2**53 - 1)

    run(story)


def test_a_long_batch_keeps_its_order(run) -> None:
    async def story(client, stream):
        numbers = range(1, 2 * CHUNK + 2)
        await EventStream(client, stream, maxlen=10_000).append(events(*numbers), fence=1)
        assert await ids(client, stream) == [f"evt_{n}" for n in numbers]

    run(story)


def test_the_script_is_loaded_again_after_the_server_forgot_it(run) -> None:
    async def story(client, stream):
        publisher = EventStream(client, stream, maxlen=1000)
        await publisher.append(events(1), fence=1)
        await client.script_flush()
        await publisher.append(events(2), fence=1)
        assert await ids(client, stream) == ["evt_1", "evt_2"]

    run(story)


def test_the_stream_is_kept_near_its_length(run) -> None:
    async def story(client, stream):
        await EventStream(client, stream, maxlen=100).append(events(*range(1000)), fence=1)
        assert 100 <= await client.xlen(stream) <= 300  # "~" trims whole nodes of 100
        assert (await ids(client, stream))[-1] == "evt_999"

    run(story)


def test_nothing_to_append_touches_nothing(run) -> None:
    async def story(client, stream):
        await EventStream(client, stream, maxlen=100).append([], fence=1)
        assert not await client.exists(stream, f"{stream}:fence")

    run(story)


@pytest.mark.parametrize("fence", [0, -1, 2**53 + 1])
def test_a_fence_that_lua_could_not_tell_apart_is_refused(fence) -> None:
    async def story():
        async with FakeAsyncRedis() as client:
            await EventStream(client, STREAM, 10).append(events(1), fence)

    with pytest.raises(ValueError, match="fence"):
        asyncio.run(story())
