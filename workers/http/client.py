"""The client of all outbound calls: no redirect is followed, no cookie kept, no environment read.

httpx's own client costs more than the exchange itself, and so do its requests and responses. Here httpx reads URLs.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from types import TracebackType
from typing import Protocol, Self

import httpx

from workers.http.messages import Reply, Request


class Transport(Protocol):
    """What requests go out by: the wire, or in tests a stand-in for it."""

    async def exchange(self, request: Request) -> Reply:
        """The answer's head. Raises WireError, ConnectionError, and what a look-up of the name raises."""

    async def aclose(self) -> None:
        """Close what is idle."""


class LeanClient:
    """Hands requests to the wire as they are. There is no time-out: the caller bounds the whole exchange
    (``asyncio.timeout``)."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self.is_closed = False

    async def exchange(self, request: Request) -> Reply:
        """The answer's head; the reply is to be closed. Raises what the transport raises."""
        if self.is_closed:
            raise RuntimeError("the client is closed")
        return await self._transport.exchange(request)

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
