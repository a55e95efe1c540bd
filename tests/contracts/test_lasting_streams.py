"""Streams of events that last: what moves on while bytes are sent, who is woken, where a reader comes back to."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any, cast

import pytest
from sqlalchemy.exc import OperationalError
from structlog.testing import capture_logs

from domain.permissions import Scope
from tests.contracts.api_cases import ADMIN
from tests.contracts.log_cases import place, streaming
from tests.contracts.store_cases import pend
from workers.store.operate.tokens import revoke
from workers.store.reads import snapshot
from workers.store.reads.log import Bounds, Entry, Page, PositionGone
from workers.store.tokens import Token, find_tokens
from workers.web.api import events as events_module
from workers.web.api import following
from workers.web.api.absence import Absence
from workers.web.api.access import Caller
from workers.web.api.places import Places
from workers.web.api.waiting import Waiting
from workers.web.problems import Problem


def caller_of(service, token):
    """Whoever has this token."""
    token_id = token.partition(".")[0]
    return Caller(find_tokens(service.store.database, [token_id])[1][token_id], "")


def handler_of(service, path):
    """What serves it."""
    return next(route.endpoint.__self__ for route in service.served.routes if route.path == path)


def events_of(service):
    """What serves the log."""
    return handler_of(service, "/v1/events")


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
        self.following = following.Following(cast("Any", self), self.read, self.live_tokens, 0.001)

    async def run(self, function, *arguments, seconds):
        """As threads do."""
        return function(*arguments)

    def live_tokens(self, ids):
        """Each may read."""
        now = datetime.now(UTC)
        return now, {one: Token(one, one, (Scope.READ,), None, "", None, now, None, None, None) for one in ids}

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


def test_whoever_may_no_longer_read_gets_no_more_pages_of_what_was(service, monkeypatch):
    monkeypatch.setattr(events_module, "CATCH_UP_EVENTS", 1)
    pend(service.store, 3)
    place(service.store)
    token = service.add_token(Scope.READ)

    async def story():
        events, caller = events_of(service), caller_of(service, token)
        pieces = events._follow(caller, 0, await events._catch_up(caller, 0))
        found = [await anext(pieces), await anext(pieces)]
        await asyncio.to_thread(revoke, service.store, ADMIN, caller.token.id)
        return b"".join(found + [piece async for piece in pieces]).decode().split("\n")

    lines = asyncio.run(story())
    assert [line for line in lines if line.startswith("id")] == ["id: 1", "id: 1"]
    assert 'data: {"why": "token", "after": 1}' in lines


def test_whoever_may_no_longer_read_gets_no_whole_snapshot(service, monkeypatch):
    monkeypatch.setattr(snapshot, "PAGE", 1)
    pend(service.store, 3)
    place(service.store)
    token = service.add_token(Scope.READ)

    async def story():
        snapshots = handler_of(service, "/v1/snapshot")
        caller = caller_of(service, token)
        moment = await snapshots._moment(None)
        pieces = snapshots._lines(caller, moment, await snapshots._read(caller, moment, ""))
        assert (await anext(pieces)).count(b"\n") == 1
        await asyncio.to_thread(revoke, service.store, ADMIN, caller.token.id)
        with pytest.raises(Problem) as refused:
            await anext(pieces)
        return refused.value.status

    assert asyncio.run(story()) == 401


def test_streams_leave_room_for_others_requests_and_no_token_has_all_of_them():
    places = Places(4)
    with places.of("tok_1"), places.of("tok_1"):
        with pytest.raises(Problem) as one, places.of("tok_1"):
            pass
        with places.of("tok_2"), places.of("tok_2"), pytest.raises(Problem) as all_of_them, places.of("tok_3"):
            pass
        with places.of("tok_3"):
            pass
    assert (one.value.status, all_of_them.value.status, len(places)) == (429, 503, 0)
    assert one.value.headers["retry-after"] == "5"


@pytest.mark.parametrize("path", ["/v1/events", "/v1/snapshot"])
def test_a_long_answer_has_a_place_while_it_lasts(service, path, monkeypatch):
    handler = handler_of(service, path)
    monkeypatch.setattr(handler, "_places", places := Places(2))
    headers = {"accept": "text/event-stream"} if path == "/v1/events" else {}

    async def story():
        with places.of(service.token.partition(".")[0]):
            refused = await service.ask("GET", path, headers=headers)
        bad = await service.ask("GET", "/v1/events?after=7", headers=headers)
        async with streaming(service) as reader:
            await reader.until(lambda it: it.text.startswith("retry"))
            held = len(places)
        return refused.status_code, bad.status_code, held, len(places)

    assert asyncio.run(story()) == (429, 410, 1 if path == "/v1/events" else 0, 0)


def test_what_is_kept_is_let_go_when_the_positions_are_others():
    async def story():
        log = Log()
        first = log.following.join("tok_1", None, 0)
        log.add(3)
        await log.until_looked()
        log.error = PositionGone(3, Bounds(0, 1))  # an older database was put in its place
        while first.over is None:
            await first.take(60)
        assert first.over == "gone"
        assert not log.following.covers(3)
        log.error, log.entries = None, log.entries[:1]
        second = log.following.join("tok_2", None, 1)
        log.add(1)
        found = await second.take(60)
        log.following.end()
        return [entry.position for entry in found]

    assert asyncio.run(story()) == [2]


def test_an_absence_is_told_once_and_looked_at_ever_more_rarely():
    away = Absence(0.1)
    with capture_logs() as told:
        pauses = []
        for _ in range(8):
            away.begins(TimeoutError(), following=3)
            pauses.append(away.pause_seconds)
        away.ends()
    assert pauses == [0.2, 0.4, 0.8, 1.6, 2.0, 2.0, 2.0, 2.0]
    assert away.pause_seconds == 0.1
    assert [(one["event"], one.get("following")) for one in told] == [("api.store_away", 3), ("api.store_back", None)]


def test_those_who_follow_and_wait_outlast_a_database_that_is_away():
    async def story():
        log = Log()
        follower = log.following.join("tok_1", None, 0)
        waiting = Waiting(cast("Any", log), lambda ids: dict.fromkeys(ids, log.read(0, 1).next), 0.001)
        waiter = asyncio.create_task(waiting.until_after("inv_1", 0, 60))
        log.error = OperationalError("SELECT 1", {}, Exception("away"))
        for _ in range(4):
            log.looked.clear()
            await log.looked.wait()
        log.add(1)
        log.error = None
        found = await follower.take(60)
        log.following.end()
        return [entry.position for entry in found], await waiter

    with capture_logs() as told:
        assert asyncio.run(story()) == ([1], True)
    assert [one["event"] for one in told].count("api.store_away") == 2, "each once"


def test_what_is_removed_while_the_oldest_is_looked_up_is_no_refusal(service, monkeypatch):
    pend(service.store, 3)
    place(service.store)
    events = handler_of(service, "/v1/events")
    oldest = [7, 0]  # the first is none that can be followed by now

    async def found():
        return oldest.pop(0)

    monkeypatch.setattr(events, "_oldest", found)
    answered = asyncio.run(service.ask("GET", "/v1/events"))
    assert (answered.status_code, answered.json()["next"]) == (200, 3)
