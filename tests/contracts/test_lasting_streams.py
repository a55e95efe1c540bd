"""Streams of events that last: what moves on while bytes are sent, who is woken, where a reader comes back to."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from domain.permissions import Scope
from tests.contracts.api_cases import Service
from tests.contracts.log_cases import place, streaming
from tests.contracts.store_cases import pend
from workers.store.reads.log import Entry, Page
from workers.store.tokens import find_tokens
from workers.web.api import events as events_module
from workers.web.api import following
from workers.web.api.access import Caller


@pytest.fixture
def service(database):
    service = Service(database)
    yield service
    service.close()


def caller_of(service, token):
    """Whoever has this token."""
    token_id = token.partition(".")[0]
    return Caller(find_tokens(service.store.database, [token_id])[1][token_id], "")


def events_of(service):
    """What serves the log."""
    return next(route.endpoint.__self__ for route in service.served.routes if route.path == "/v1/events")


def test_a_stream_comes_past_the_events_that_it_does_not_see(service, monkeypatch):
    monkeypatch.setattr(events_module, "HEARTBEAT_SECONDS", 0.01)

    async def story():
        token = service.add_token(Scope.READ, accounts=["nebulox"])
        async with streaming(service, token=token) as reader:
            await reader.until(lambda it: "id: 0\n: waiting" in it.text)
            await asyncio.to_thread(pend, service.store, 3)
            await asyncio.to_thread(place, service.store)
            await reader.until(lambda it: "id: 3\n: waiting\n\n" in it.text)
            service.served.on_stop()
            await reader.until(lambda it: it.is_complete)
            assert reader.events == [("end", {"why": "stop", "after": 3})]

    asyncio.run(story())


def test_a_follower_is_woken_by_what_it_sees_only():
    follower = following.Follower("tok_1", ["mine"], 0)

    async def story():
        waiting = asyncio.create_task(follower.take(60))
        await asyncio.sleep(0)
        follower.offer([Entry(1, "other", b"{}")])
        for _ in range(3):
            await asyncio.sleep(0)
        assert not waiting.done()
        follower.offer([Entry(2, "mine", b"{}")])
        return [entry.position for entry in await waiting]

    assert asyncio.run(story()) == [2]


class Log:
    """Events in memory, each under the next position."""

    def __init__(self):
        self.entries = []
        self.error = None
        self.reads = 0
        self.looked = asyncio.Event()
        self.following = following.Following(self, self.read, lambda _: (datetime.now(UTC), {}), 0.001)

    async def run(self, function, *arguments, seconds):
        """As threads do."""
        return function(*arguments)

    def add(self, count):
        for position in range(len(self.entries) + 1, len(self.entries) + 1 + count):
            self.entries.append(Entry(position, None, b"{}"))

    def read(self, after, limit):
        self.reads += 1
        self.looked.set()
        if self.error is not None:
            raise self.error
        found = self.entries[after : after + limit]
        return Page(found, found[-1].position if found else after)

    async def until_looked(self):
        """The look has come as far as the events."""
        async with asyncio.timeout(60):
            while self.following._position < len(self.entries):
                self.looked.clear()
                await self.looked.wait()


def test_who_joins_with_more_than_a_queue_holds_is_not_slow(monkeypatch):
    monkeypatch.setattr(following, "QUEUE_EVENTS", 3)
    monkeypatch.setattr(following, "KEPT_EVENTS", 6)
    monkeypatch.setattr(following, "LOOK_EVENTS", 2)

    async def story():
        log = Log()
        log.following.join("tok_1", None, 0)
        log.add(6)
        await log.until_looked()
        late = log.following.join("tok_2", None, 0)
        log.add(1)
        await log.until_looked()
        found = await late.take(60)
        log.following.end()
        return [entry.position for entry in found], late.over

    assert asyncio.run(story()) == ([1, 2, 3, 4, 5, 6, 7], "stop")


def test_nobody_joins_behind_what_is_kept(monkeypatch):
    monkeypatch.setattr(following, "KEPT_EVENTS", 2)

    async def story():
        log = Log()
        log.following.join("tok_1", None, 0)
        log.add(5)
        await log.until_looked()
        with pytest.raises(ValueError, match="kept after 3"):
            log.following.join("tok_2", None, 2)
        log.following.end()

    asyncio.run(story())


def test_a_stream_misses_nothing_that_was_let_go_while_its_first_bytes_were_sent(service, monkeypatch):
    monkeypatch.setattr(following, "KEPT_EVENTS", 2)

    async def story():
        caller = caller_of(service, service.token)
        async with streaming(service) as first:
            await asyncio.to_thread(pend, service.store, 2)
            await asyncio.to_thread(place, service.store)
            await first.until(lambda it: len(it.events) == 2)
            assert service.served.following.covers(1)
            pieces = events_of(service)._follow(caller, 1, None)
            assert (await anext(pieces)).startswith(b"retry")
            await asyncio.to_thread(pend, service.store, 5)  # while that is sent
            await asyncio.to_thread(place, service.store)
            await first.until(lambda it: len(it.events) == 7)
            assert not service.served.following.covers(1)
            found = b""
            while found.count(b"data: ") < 6:
                found += await anext(pieces)
            await pieces.aclose()
            return [line for line in found.decode().split("\n") if line.startswith("id")]

    assert asyncio.run(story()) == [f"id: {position}" for position in range(2, 8)]
