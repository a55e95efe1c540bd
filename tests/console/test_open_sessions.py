"""The sessions behind pages that go on by themselves: read together, and seldom."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from starlette.requests import Request

from domain.permissions import Role
from tests.console.doorstep import Doorstep
from tests.console.scene import OPERATOR
from tests.console.test_live import counted
from workers.store.operate.people import end_sessions
from workers.store.operate.sessions import begin_for
from workers.store.people import find_user
from workers.web.console.open_sessions import CHECK_SECONDS, OpenSessions
from workers.web.console.person import Person

SOMEBODY = Person("j.brandt", Role.VIEWER, None, "")


def asked_with(secret):
    """A request of a browser with this session."""
    headers = [(b"host", b"127.0.0.1"), (b"cookie", f"invoices-session={secret}".encode())]
    scope = {"type": "http", "scheme": "http", "path": "/console/live", "server": ("127.0.0.1", 80), "headers": headers}
    return Request(scope)


class Rows:
    """Sessions as a database has them, and the clock that they are read by."""

    def __init__(self) -> None:
        self.live: dict[str, Person] = {}
        self.readings: list[list[str]] = []
        self.time = 0.0
        self.began = asyncio.Event()

    async def read(self, secrets):
        self.readings.append(list(secrets))
        self.began.set()
        for _ in range(3):
            await asyncio.sleep(0)
        return {secret: self.live[secret] for secret in secrets if secret in self.live}

    def sessions(self) -> OpenSessions:
        return OpenSessions(self.read, clock=lambda: self.time)


def test_a_thousand_open_pages_are_read_together_as_often_as_one():
    rows = Rows()
    rows.live = {f"s{number}": SOMEBODY for number in range(1000)}

    async def go():
        sessions = rows.sessions()
        with ExitStack() as pages:
            for secret in rows.live:
                pages.enter_context(sessions.page(secret, SOMEBODY))
            for tick in range(3):
                rows.time = tick * CHECK_SECONDS
                found = await asyncio.gather(*(sessions.look(secret) for secret in rows.live))
                assert set(found) == {SOMEBODY}

    asyncio.run(go())

    assert [len(secrets) for secrets in rows.readings] == [1000, 1000]


def test_a_page_that_was_opened_just_now_reads_nothing():
    rows = Rows()

    async def go():
        sessions = rows.sessions()
        with sessions.page("s", SOMEBODY):
            return await sessions.look("s")

    assert asyncio.run(go()) == SOMEBODY
    assert rows.readings == []


def test_a_session_that_has_ended_or_changed_is_known_with_the_next_reading():
    rows = Rows()
    changed = replace(SOMEBODY, role=Role.ADMIN)

    async def go():
        sessions = rows.sessions()
        with sessions.page("ended", SOMEBODY), sessions.page("changed", SOMEBODY):
            rows.live, rows.time = {"changed": changed}, CHECK_SECONDS
            return await sessions.look("ended"), await sessions.look("changed")

    assert asyncio.run(go()) == (None, changed)


def test_pages_that_are_closed_are_not_read():
    rows = Rows()

    async def go():
        sessions = rows.sessions()
        with sessions.page("kept", SOMEBODY):
            with sessions.page("closed", SOMEBODY), sessions.page("kept", SOMEBODY):
                rows.time = CHECK_SECONDS
            await sessions.look("kept")

    asyncio.run(go())

    assert rows.readings == [["kept"]]


def test_who_comes_during_a_reading_that_began_before_waits_for_the_next_one():
    rows = Rows()

    async def go():
        sessions = rows.sessions()
        with sessions.page("first", SOMEBODY):
            rows.time = CHECK_SECONDS
            first = asyncio.create_task(sessions.look("first"))
            await rows.began.wait()
            with sessions.page("second", SOMEBODY):
                rows.time = 2 * CHECK_SECONDS
                await sessions.look("second")
            await first

    asyncio.run(go())

    assert rows.readings[0] == ["first"]
    assert rows.readings[-1] == ["first", "second"]


def test_what_a_reading_raises_is_for_those_who_wait():
    async def away(_: Any):
        raise TimeoutError

    async def go():
        time = SimpleNamespace(now=0.0)
        sessions = OpenSessions(away, clock=lambda: time.now)
        with sessions.page("s", SOMEBODY):
            time.now = CHECK_SECONDS
            for _ in range(2):
                with pytest.raises(TimeoutError):
                    await sessions.look("s")

    asyncio.run(go())


def test_the_real_gate_asks_the_database_for_all_open_sessions_at_once(store):
    time = SimpleNamespace(now=0.0)
    doorstep = Doorstep(store, clock=lambda: time.now)
    doorstep.add("j.brandt")
    user = store.database.read(find_user, "j.brandt")
    secrets = [begin_for(store, user, "127.0.0.1", None) for _ in range(20)]
    requests = [asked_with(secret) for secret in secrets]

    async def cost_of(some):
        with ExitStack() as pages:
            whose = [pages.enter_context(doorstep.gate.watching(one, SOMEBODY)) for one in some]
            time.now += CHECK_SECONDS
            with counted(store.database) as statements:
                found = await asyncio.gather(*(who() for who in whose))
        return len(statements), {None if one is None else one.name for one in found}

    of_one, of_all = doorstep.run(cost_of(requests[:1])), doorstep.run(cost_of(requests))
    end_sessions(store, OPERATOR, "j.brandt")
    ended = doorstep.run(cost_of(requests))
    doorstep.close()

    assert of_one == of_all
    assert of_all[1] == {"j.brandt"}
    assert ended[1] == {None}
