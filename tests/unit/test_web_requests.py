"""A request as the web process's pages see it: its headers, and whether its body has come with them."""

from __future__ import annotations

import asyncio
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from uvicorn.config import Config
from uvicorn.server import ServerState

from workers.web.bodies import IS_HERE, BodyRefused, read_body
from workers.web.gathering import Gathering
from workers.web.named_headers import NamedHeaders, NamedRequest
from workers.web.server import PatientProtocol
from workers.web.threads import StoreThreads

NAMES = ("accept", "prefer", "host", "x-none")
HEAD = b"POST / HTTP/1.1\r\nhost: here\r\ncontent-length: 4\r\n\r\n"

pairs = st.lists(st.tuples(st.sampled_from([b"accept", b"prefer", b"host"]), st.binary(max_size=4)), max_size=6)


@given(pairs)
def test_headers_are_what_starlette_finds(given_pairs):
    named, found = NamedHeaders({"headers": list(given_pairs)}), Headers(scope={"headers": list(given_pairs)})
    for name in (*NAMES, *map(str.title, NAMES)):
        assert named.getlist(name) == found.getlist(name)
        assert named.get(name) == found.get(name)
        assert (name in named) is (name in found)
    assert named == found
    assert list(named.items()) == list(found.items())


async def answer_whether_it_is_here(scope, receive, send):
    request = NamedRequest(scope, receive, send)
    is_here, body = IS_HERE in scope, await read_body(request, 100, 30)
    await PlainTextResponse(f"{is_here} {body.decode()}")(scope, receive, send)


def answered_to(*parts):
    """What is answered to requests whose bytes come in these parts, each after a pause for the last one."""

    async def converse():
        config = Config(answer_whether_it_is_here, http=PatientProtocol, ws="none")
        config.load()
        ours, theirs = socket.socketpair()
        loop = asyncio.get_running_loop()
        transport, _ = await loop.connect_accepted_socket(lambda: PatientProtocol(config, ServerState(), {}), ours)
        reader, writer = await asyncio.open_connection(sock=theirs)
        for part in parts:
            writer.write(part)
            for _ in range(20):
                await asyncio.sleep(0)
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(int(line[16:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length: "))
        found = await reader.readexactly(length)
        writer.close()
        transport.abort()
        return found.decode()

    return asyncio.run(converse())


def test_a_body_that_came_with_its_head_is_known_to_be_here():
    assert answered_to(HEAD + b"body") == "True body"


def test_one_that_came_later_is_waited_for():
    assert answered_to(HEAD, b"bo", b"dy") == "False body"


def test_only_a_body_that_is_not_here_can_be_late():
    async def receive():
        await asyncio.sleep(0)  # a time-out of none would be over
        return {"type": "http.request", "body": b"body"}

    def read(scope):
        request = NamedRequest({"type": "http", "headers": [], **scope}, receive)
        return asyncio.run(read_body(request, 100, 0))

    assert read({IS_HERE: True}) == b"body"
    with pytest.raises(BodyRefused, match="did not arrive"):
        read({})


@pytest.mark.parametrize(("turns", "calls"), [(0, [1, 1]), (3, [2])])
def test_what_comes_within_so_many_turns_joins_the_call(turns, calls):
    made = []

    def keep(items):
        made.append(len(items))
        return items

    async def ask_two():
        gathering = Gathering(StoreThreads(1), keep, most=100, most_waiting=100, seconds=60, turns=turns)
        first = asyncio.create_task(gathering.ask("first"))
        for _ in range(2):
            await asyncio.sleep(0)
        return [await gathering.ask("second"), await first]

    assert asyncio.run(ask_two()) == ["second", "first"]
    assert made == calls
