"""The client of all outbound calls: no redirect is followed, no cookie kept, no environment read.

httpx's own client costs more than the exchange itself, and so do its requests and responses. Here httpx reads URLs, and
its transports can stand in for the wire.
"""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from types import TracebackType
from typing import Self, cast

import httpx

from workers.http.messages import WRITTEN, Reply, Request
from workers.http.wire import Wire


class LeanClient:
    """Hands requests to the wire as they are. There is no time-out: the caller bounds the whole exchange
    (``asyncio.timeout``)."""

    def __init__(self, transport: Wire | httpx.AsyncBaseTransport) -> None:
        self._transport = transport
        self._exchange: Callable[[Request], Awaitable[Reply]] = (
            transport.exchange if isinstance(transport, Wire) else functools.partial(_exchange, transport)
        )
        self.is_closed = False

    async def exchange(self, request: Request) -> Reply:
        """The answer's head; the reply is to be closed. Raises what the transport raises."""
        if self.is_closed:
            raise RuntimeError("the client is closed")
        return await self._exchange(request)

    async def aclose(self) -> None:
        """Send nothing more."""
        self.is_closed = True
        await self._transport.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()


async def _exchange(transport: httpx.AsyncBaseTransport, request: Request) -> Reply:
    """Over any other transport of httpx's: a stand-in of tests. How far the request gets, it does not tell."""
    request.progress = WRITTEN
    asked = httpx.Request(request.method, request.url, headers=request.headers, content=request.body)
    return _Foreign(await transport.handle_async_request(asked))


class _Foreign(Reply):
    """A response of httpx's."""

    __slots__ = ("_chunks", "_response")

    def __init__(self, response: httpx.Response) -> None:
        super().__init__(response.status_code, response.headers.raw)
        self._response = response
        self._chunks: AsyncIterator[bytes] = aiter(cast("httpx.AsyncByteStream", response.stream))

    async def read(self) -> bytes:
        """More of the body; empty at its end."""
        return await anext(self._chunks, b"")

    async def aclose(self) -> None:
        """Nobody reads on."""
        await self._response.aclose()


def make_request(method: str, url: str, headers: Mapping[str, str], body: bytes | None) -> Request:
    """A request with these headers and no others (the wire adds Host and Content-Length).

    Raises ``httpx.InvalidURL``, and ValueError for what can't be sent: a header that is not ASCII.
    """
    _check_url(url)
    if not all(map(str.isascii, headers.values())) or not all(map(str.isascii, headers)):
        raise ValueError("a header that is not ASCII")
    return Request(method, url, headers, body or b"")


@functools.lru_cache(1024)
def _check_url(url: str) -> None:
    httpx.URL(url)
