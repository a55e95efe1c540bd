"""Exchanges over connections of our own: kept, bounded, and frank about what has left.

A call takes half the CPU of one over aiohttp, and a third of one over httpx's own transport (decision 51). llhttp
parses; what is here is a pool, and one request at a time on each connection.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Sequence

import httpx

from workers.http.connection import Connection
from workers.http.dialling import Dialler, Origin
from workers.http.errors import ClosedEarly, Unsendable
from workers.http.messages import WRITTEN, Headers, Reply, Request
from workers.http.name_lookup import telling_waits

#: These change nothing, so they may be sent again where a kept connection turns out to have been closed.
_REPEATABLE = frozenset({"GET", "HEAD", "OPTIONS"})
_PORTS = {"http": 80, "https": 443}


class Wire:
    """Sends requests as they are. Made anywhere, used on one event loop. It follows no redirect and keeps no cookie.

    There is no time-out: the caller bounds the whole exchange. Failures are WireError, ConnectionError, and what the
    dialler's ``vet`` raises.
    """

    def __init__(
        self, dialler: Dialler, *, keepalive_seconds: float, received_limit: int, max_connections: int | None = None
    ) -> None:
        self._dialler = dialler
        self._keepalive_seconds = keepalive_seconds
        self._received_limit = received_limit
        self._slots = None if max_connections is None else asyncio.Semaphore(max_connections)
        self._idle: dict[Origin, list[Connection]] = {}  #: of each origin, the one used last at the end
        self._sweep: asyncio.TimerHandle | None = None

    async def exchange(self, request: Request) -> Reply:
        """The answer's head. Its body is read from the reply, still compressed if it came so."""
        origin, beginning = _begin(request.method, request.url, request.headers)
        written = _write(beginning, request)
        if self._slots is not None:
            await self._slots.acquire()
        try:
            connection = self._take(origin)
            repeatable = request.method in _REPEATABLE
            if connection is None or not await _ask(connection, request, written, repeatable=repeatable):
                connection = await self._connect(origin, request)
                await _ask(connection, request, written)
        except BaseException:
            self._free_slot()
            raise
        return _Kept(self, origin, connection)

    async def aclose(self) -> None:
        """Close what is idle. Exchanges that are under way go on to their end."""
        self._keepalive_seconds = 0.0
        for connections in self._idle.values():
            for connection in connections:
                connection.close()
        self._idle.clear()
        if self._sweep is not None:
            self._sweep.cancel()
            self._sweep = None

    async def _connect(self, origin: Origin, request: Request) -> Connection:
        connection = Connection(self._received_limit)
        if request.tell_wait is None:
            return await self._dialler.connect(origin, connection)
        with telling_waits(request.tell_wait):
            return await self._dialler.connect(origin, connection)

    def _take(self, origin: Origin) -> Connection | None:
        connections = self._idle.get(origin)
        oldest = asyncio.get_running_loop().time() - self._keepalive_seconds
        while connections:
            connection = connections.pop()
            if connection.is_usable and connection.idle_since > oldest:
                return connection
            connection.close()
        return None

    def give_back(self, origin: Origin, connection: Connection) -> None:
        """An exchange is over."""
        self._free_slot()
        if connection.end() and self._keepalive_seconds:
            loop = asyncio.get_running_loop()
            connection.idle_since = loop.time()
            self._idle.setdefault(origin, []).append(connection)
            if self._sweep is None:
                self._sweep = loop.call_later(self._keepalive_seconds, self._close_old)
        else:
            connection.close()

    def _close_old(self) -> None:
        """Close what has been idle too long. Runs once per keep-alive time while anything is kept."""
        loop = asyncio.get_running_loop()
        oldest = loop.time() - self._keepalive_seconds
        for origin, connections in list(self._idle.items()):
            kept = [one for one in connections if one.is_usable and one.idle_since > oldest]
            for connection in set(connections).difference(kept):
                connection.close()
            if kept:
                self._idle[origin] = kept
            else:
                del self._idle[origin]
        self._sweep = loop.call_later(self._keepalive_seconds, self._close_old) if self._idle else None

    def _free_slot(self) -> None:
        if self._slots is not None:
            self._slots.release()


async def _ask(connection: Connection, request: Request, written: bytes, *, repeatable: bool = False) -> bool:
    """Send the request and wait for the answer's head. False: the connection had been closed, nothing came over it, and
    the request may be sent again."""
    try:
        connection.send(written)
        request.progress = WRITTEN
        await connection.read_head()
    except BaseException as error:
        connection.close()
        if repeatable and connection.heard_nothing and isinstance(error, (ClosedEarly, ConnectionError)):
            return False
        raise
    return True


class _Kept(Reply):
    """A reply whose connection is kept if all of it was read."""

    __slots__ = ("_connection", "_origin", "_wire")

    def __init__(self, wire: Wire, origin: Origin, connection: Connection) -> None:
        self.status_code, self.raw_headers = connection.status, connection.headers
        self._wire, self._origin = wire, origin
        self._connection: Connection | None = connection

    async def read(self) -> bytes:
        """More of the body; empty at its end."""
        return await self._connection.read() if self._connection is not None else b""

    def whole(self) -> bytes | None:
        """The body, if it has come with the head."""
        return self._connection.whole() if self._connection is not None else b""

    async def aclose(self) -> None:
        """Give the connection back, or close it."""
        connection, self._connection = self._connection, None
        if connection is not None:
            self._wire.give_back(self._origin, connection)


@functools.lru_cache(1024)
def _begin(method: str, text: str, headers: Headers) -> tuple[Origin, str]:
    """Where it leads, and how a request for it begins. Raises Unsendable."""
    url = httpx.URL(text)
    if url.scheme not in _PORTS or not url.host:
        raise Unsendable(f"a URL of {url.scheme or 'no'}:")
    port = url.port if url.port is not None else _PORTS[url.scheme]
    target = url.raw_path.decode("ascii")
    netloc = url.netloc.decode("ascii")
    origin = Origin(url.scheme, url.raw_host.decode("ascii"), port)
    lines = _lines([(name.lower(), value) for name, value in headers])
    return origin, f"{method} {target} HTTP/1.1\r\nhost: {netloc}\r\n{lines}"


def _write(beginning: str, request: Request) -> bytes:
    """The request's bytes. Raises Unsendable."""
    body = request.body
    length = f"content-length: {len(body)}\r\n" if body or request.method not in _REPEATABLE else ""
    return f"{beginning}{_lines(request.own_headers)}{length}\r\n".encode("ascii") + body


def _lines(headers: Sequence[tuple[str, str]]) -> str:
    """The headers as lines. Raises Unsendable for one that would be more than a line."""
    text = "".join([f"{name}: {value}\r\n" for name, value in headers])
    if text.count("\n") != len(headers) or text.count("\r") != len(headers) or "\0" in text:
        raise Unsendable("a header that is not a line")
    return text
