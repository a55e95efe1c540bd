"""The wire's own rules: which answers are whole, when a connection is used again, what may be sent twice."""

from __future__ import annotations

import asyncio
import ssl
from typing import Any, cast

import httpx
import pytest

from workers.http import connection
from workers.http.client import LeanClient, make_request
from workers.http.dialling import Dialler, Origin, remembering
from workers.http.errors import BrokenOff, ClosedEarly, ConnectFailed, NameFailed, NotHttp, Unsendable
from workers.http.messages import CONNECTING, WRITTEN
from workers.http.wire import Wire

TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
LIMIT = 300_000


class Server:
    """Answers the requests of each connection with the pieces that it was given for it, one after the other."""

    def __init__(self, *connections):
        self._scripts = list(connections)
        self.requests: list[bytes] = []
        self.connections = 0
        self.arrived = asyncio.Event()
        self.hung_up = asyncio.Event()

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/a?b=1"
        return self

    async def __aexit__(self, *_):
        self._server.close()

    async def _serve(self, reader, writer):
        script = self._scripts[min(self.connections, len(self._scripts) - 1)]
        self.connections += 1
        try:
            for answer in script:
                head = await reader.readuntil(b"\r\n\r\n")
                size = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0] or 0)
                self.requests.append(head + await reader.readexactly(size))
                self.arrived.set()
                for piece in answer if isinstance(answer, list) else [answer]:
                    writer.write(piece)
                    await writer.drain()
                    await asyncio.sleep(0)
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            self.hung_up.set()
        finally:
            writer.close()


async def no_names(host, port):
    raise OSError("no such name")


def wire(**changes):
    return Wire(Dialler(no_names, TLS), **({"keepalive_seconds": 30, "received_limit": LIMIT} | changes))


async def ask(client, url, method="POST", body=b"{}"):
    reply = await client.exchange(make_request(method, url, {"x-a": "1"}, body))
    return reply.status_code, await read_all(reply)


async def read_all(reply):
    content = bytearray()
    while chunk := await reply.read():
        content += chunk
    await reply.aclose()
    return bytes(content)


def exchange(*connections, requests=1, method="POST"):
    """What each of the requests brought, and the server."""

    async def story():
        async with Server(*connections) as server, LeanClient(wire()) as client:
            outcomes = []
            for _ in range(requests):
                try:
                    outcomes.append(await ask(client, server.url, method))
                except Exception as error:
                    outcomes.append(type(error))
            return outcomes, server

    return asyncio.run(story())


@pytest.mark.parametrize(
    ("answer", "content"),
    [
        ([OK], b"ok"),
        ([OK[:9], OK[9:30], OK[30:]], b"ok"),
        ([b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n" + OK], b"ok"),
        (
            [b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\no\r\n", b"1;x=y\r\nk\r\n0\r\nx-t: 1\r\n\r\n"],
            b"ok",
        ),
        ([b"HTTP/1.1 200\r\nContent-Length:2\r\n\r\nok"], b"ok"),
        ([b"HTTP/1.1 200 OK\ncontent-length: 2\n\nok"], b"ok"),
        ([b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"], b""),
        ([b"HTTP/1.1 204 No Content\r\n\r\n"], b""),
    ],
    ids=["whole", "in pieces", "interim answers", "chunked", "no reason", "bare line feeds", "empty", "no content"],
)
def test_an_answer_is_read_and_its_connection_used_again(answer, content):
    outcomes, server = exchange([answer, answer, answer], requests=3)
    assert [body for _, body in outcomes] == [content] * 3
    assert server.connections == 1
    assert server.requests[0].endswith(b"x-a: 1\r\ncontent-length: 2\r\n\r\n{}")
    assert server.requests[0].startswith(b"POST /a?b=1 HTTP/1.1\r\nhost: 127.0.0.1:")


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok",
        OK + b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nbad",
        OK + b"garbage",
    ],
    ids=["until the end", "HTTP/1.0", "close", "two answers", "garbage behind it"],
)
def test_an_answer_is_read_and_its_connection_is_not_used_again(answer):
    outcomes, server = exchange([answer], [OK], requests=2)
    assert outcomes == [(200, b"ok")] * 2
    assert server.connections == 2


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"", ClosedEarly),
        (b"HTTP/1.1 200 OK\r\nconten", ClosedEarly),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nok", BrokenOff),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n", BrokenOff),
        (b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n", NotHttp),
        (b"HTTP/2 200\r\n\r\n", NotHttp),
        (b"SSH-2.0-OpenSSH_9.2\r\n", NotHttp),
        (b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * (connection.MAX_HEADERS + 1) + b"\r\n", NotHttp),
        (b"HTTP/1.1 200 OK\r\nx: " + b"y" * connection.MAX_HEAD_BYTES + b"\r\n\r\n", NotHttp),
        (b"HTTP/1.1 200 OK\r\nx: " + b"y" * 3 * connection.MAX_HEAD_BYTES, NotHttp),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1;" + b"e" * LIMIT + b"\r\n", NotHttp),
        (b"HTTP/1.1 100 Continue\r\n\r\n" * (LIMIT // 20), NotHttp),
    ],
)
def test_what_is_no_answer_is_an_error_and_nothing_is_sent_again(answer, error):
    outcomes, server = exchange([answer], [OK])
    assert outcomes == [error]
    assert server.connections == 1


def test_a_connection_that_was_closed_meanwhile_is_replaced_for_a_request_that_changes_nothing():
    async def story(method):
        async with Server([OK, b""], [OK]) as server, LeanClient(wire()) as client:
            await ask(client, server.url)
            try:
                return await ask(client, server.url, method, b"" if method == "GET" else b"{}")
            except ClosedEarly:
                return server.connections

    assert asyncio.run(story("GET")) == (200, b"ok")
    assert asyncio.run(story("POST")) == 1


def test_a_request_tells_how_far_it_has_got():
    async def story():
        async with Server([OK]) as server, LeanClient(wire()) as client:
            written = make_request("POST", server.url, {}, b"{}")
            await read_all(await client.exchange(written))
            refused, nameless = (
                make_request("POST", url, {}, b"") for url in ("http://127.0.0.1:1", "http://x.example")
            )
            with pytest.raises(ConnectFailed):
                await client.exchange(refused)
            with pytest.raises(NameFailed):
                await client.exchange(nameless)
            return [one.progress for one in (written, refused, nameless)]

    assert asyncio.run(story()) == [WRITTEN, CONNECTING, CONNECTING]


@pytest.mark.parametrize("value", ["a\r\nx: y", "a\nb", "a\rb", "a\0b"])
def test_a_header_that_is_more_than_a_line_is_not_sent(value):
    async def story():
        async with Server([OK]) as server, LeanClient(wire()) as client:
            with pytest.raises(Unsendable):
                await client.exchange(make_request("POST", server.url, {"x-key": value}, b"{}"))
            return server.connections

    assert asyncio.run(story()) == 0


def test_a_body_that_nobody_reads_is_not_taken_in():
    async def story():
        body = b"x" * 50_000_000
        answer = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body) + body
        client = LeanClient(wire(received_limit=len(answer)))
        async with Server([answer]) as server, client:
            reply = await client.exchange(make_request("GET", server.url, {}, None))
            reading = cast("Any", reply)._connection
            async with asyncio.timeout(10):
                while not reading._is_paused:  # noqa: ASYNC110 - the connection tells nobody
                    await asyncio.sleep(0.001)
            held = reading._buffered
            size = len(await read_all(reply))
            return held, size == len(body)

    held, whole = asyncio.run(story())
    assert held < 4 * connection.BUFFER_BYTES + 256 * 1024  # what one read of the loop brings at most
    assert whole


def test_an_answer_that_is_left_unread_closes_its_connection():
    async def story():
        async with (
            Server([b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nok", OK]) as server,
            LeanClient(wire()) as client,
        ):
            reply = await client.exchange(make_request("GET", server.url, {}, None))
            await reply.aclose()
            await asyncio.wait_for(server.hung_up.wait(), 10)

    asyncio.run(story())


def test_a_cancelled_exchange_closes_its_connection_and_frees_its_place():
    async def story():
        async with Server([[], OK], [OK]) as server, LeanClient(wire(max_connections=1)) as client:
            task = asyncio.create_task(ask(client, server.url))
            await asyncio.wait_for(server.arrived.wait(), 10)
            task.cancel()
            await asyncio.wait_for(server.hung_up.wait(), 10)
            return await ask(client, server.url), server.connections

    assert asyncio.run(story()) == ((200, b"ok"), 2)


def test_idle_connections_are_closed_after_their_time():
    async def story():
        async with Server([OK, OK], [OK]) as server, LeanClient(wire(keepalive_seconds=0.05)) as client:
            await ask(client, server.url)
            await asyncio.wait_for(server.hung_up.wait(), 10)
            return await ask(client, server.url), server.connections

    assert asyncio.run(story()) == ((200, b"ok"), 2)


def test_a_name_is_remembered_for_its_time_only():
    asked, now = [], [0.0]

    async def lookup(host, port):
        asked.append(host)
        return ["192.0.2.1"]

    async def story():
        remembered = remembering(lookup, 10, lambda: now[0])
        for at in (0.0, 9.9, 10.0):
            now[0] = at
            assert await remembered("a.example", 443) == ["192.0.2.1"]

    now[0] = 0.0
    asyncio.run(story())
    assert len(asked) == 2


def test_every_address_of_a_name_is_tried():
    async def names(host, port):
        return ["127.0.0.9", "::1", "127.0.0.1"]

    async def story():
        async with Server([OK]) as server:
            port = httpx.URL(server.url).port or 0
            made = await Dialler(names, TLS).connect(Origin("http", "shop.example", port), connection.Connection(LIMIT))
            usable = made.is_usable
            made.close()
            return usable

    assert asyncio.run(story())
