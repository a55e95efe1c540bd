"""httpx's API over aiohttp, without what is not used here: authentication, redirects, cookies, hooks, merged defaults.

Those cost more than the exchange itself. A POST takes 0.7 ms of CPU with httpx's client and the usual transport for
aiohttp, 0.4 ms with these (aiohttp alone: 0.3 ms).
"""

from __future__ import annotations

import functools
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence

import aiohttp
import httpx
from aiohttp.abc import AbstractResolver, ResolveResult

#: The longest piece of an answer that is read at once.
CHUNK_BYTES = 16 * 1024


class LeanClient(httpx.AsyncClient):
    """Hands requests to its transport as they are. No redirect is followed, no cookie kept, no environment read.

    There is no time-out either: the caller bounds the whole exchange (``asyncio.timeout``).
    """

    def __init__(self, transport: httpx.AsyncBaseTransport) -> None:
        super().__init__(transport=transport, trust_env=False, follow_redirects=False, timeout=None)
        self._wire = transport

    async def send(self, request: httpx.Request, *, stream: bool = False, **_: object) -> httpx.Response:
        """The transport's answer. Raises what the transport raises."""
        if self.is_closed:
            raise RuntimeError("the client is closed")
        response = await self._wire.handle_async_request(request)
        if not stream:
            try:
                await response.aread()
            finally:
                await response.aclose()
        return response


class AiohttpWire(httpx.AsyncBaseTransport):
    """Sends through an aiohttp session, which is opened at the first request: on the loop that uses it.

    Failures are aiohttp's own exceptions. httpx's would not tell a connection that was refused from one that was reset
    after the request had been read.
    """

    def __init__(self, open_session: Callable[[], aiohttp.ClientSession]) -> None:
        self._open_session = open_session
        self._session: aiohttp.ClientSession | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """The answer's head. Its body is read from ``response.stream``, still compressed if it came so."""
        if self._session is None:
            self._session = self._open_session()
        answer = await self._session.request(
            request.method,
            str(request.url),
            headers=request.headers,
            data=request.content or None,
            allow_redirects=False,
            auto_decompress=False,
        )
        return httpx.Response(answer.status, headers=answer.raw_headers, stream=_Body(answer), request=request)

    async def aclose(self) -> None:
        """Close every connection."""
        if self._session is not None:
            await self._session.close()


class NameResolver(AbstractResolver):
    """Looks aiohttp's host names up by a function of (host, port), instead of in the threads of the event loop."""

    def __init__(self, lookup: Callable[[str, int], Awaitable[Sequence[str]]]) -> None:
        self._lookup = lookup

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Every address of the host. Raises what the lookup raises."""
        return [_resolved(host, address, port) for address in await self._lookup(host, port)]

    async def close(self) -> None:
        """Nothing to close: the lookup belongs to the caller."""


def _resolved(host: str, address: str, port: int) -> ResolveResult:
    return ResolveResult(
        hostname=host,
        host=address,
        port=port,
        family=socket.AF_INET6 if ":" in address else socket.AF_INET,
        proto=socket.IPPROTO_TCP,
        flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
    )


class _Body(httpx.AsyncByteStream):
    """An answer's bytes as they come. Not a generator, which would have to be closed by a reader that stops early."""

    def __init__(self, answer: aiohttp.ClientResponse) -> None:
        self._answer = answer

    def __aiter__(self) -> _Body:
        return self

    async def __anext__(self) -> bytes:
        chunk = await self._answer.content.read(CHUNK_BYTES)
        if not chunk:
            raise StopAsyncIteration
        return chunk

    async def aclose(self) -> None:
        """The connection goes back to the pool if all was read, and is closed otherwise."""
        await self._answer.__aexit__(None, None, None)


def make_request(method: str, url: str, headers: Mapping[str, str], body: bytes | None) -> httpx.Request:
    """A request with these headers and no others (the transport adds Host and Content-Length).

    Raises ``httpx.InvalidURL``, and ValueError for what can't be sent: a header that is not ASCII.
    """
    request = httpx.Request(method, _url(url), stream=httpx.ByteStream(body or b""))
    request.headers = httpx.Headers(headers, encoding="ascii")  # otherwise httpx guesses it at each access
    request.read()
    return request


@functools.lru_cache(1024)
def _url(url: str) -> httpx.URL:
    return httpx.URL(url)
