"""The client of all outbound calls: no redirect is followed, no cookie kept, no environment read.

httpx's own client costs more than the exchange itself, and so do its requests and responses. Here httpx reads URLs.
"""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Mapping
from types import TracebackType
from typing import Protocol, Self

import httpx

from workers.http.messages import Headers, Reply, Request
from workers.http.time_limit import TimeLimit, TimeLimits


class Transport(Protocol):
    """What requests go out by: the wire, or in tests a stand-in for it."""

    async def exchange(self, request: Request) -> Reply:
        """The answer's head. Raises WireError, ConnectionError, and what a look-up of the name raises."""

    async def aclose(self) -> None:
        """Close what is idle."""


class LeanClient:
    """Hands requests to the wire as they are. There is no time-out: the caller bounds the whole exchange
    (``limit``)."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self.is_closed = False
        self._limits = TimeLimits()

    def limit(self, seconds: float) -> TimeLimit:
        """A bound for an exchange, used by ``with``. Raises TimeoutError."""
        return TimeLimit(self._limits, seconds)

    def exchange(self, request: Request) -> Awaitable[Reply]:
        """The answer's head; the reply is to be closed. Raises what the transport raises."""
        if self.is_closed:
            raise RuntimeError("the client is closed")
        return self._transport.exchange(request)

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


def make_request(
    method: str, url: str, headers: Mapping[str, str], body: bytes | None, own_headers: Mapping[str, str] | None = None
) -> Request:
    """A request with these headers and no others (the wire adds Host and Content-Length). Headers that differ from
    request to request go into ``own_headers``: the others are kept and written once.

    Raises ``httpx.InvalidURL``, and ValueError for what can't be sent: a header that is not ASCII.
    """
    steady, own = tuple(headers.items()), tuple(own_headers.items()) if own_headers else ()
    _check_sendable(url, steady)
    _check_ascii(own)
    return Request(method, url, steady, body or b"", own)


@functools.lru_cache(1024)
def _check_sendable(url: str, headers: Headers) -> None:
    httpx.URL(url)
    _check_ascii(headers)


def _check_ascii(headers: Headers) -> None:
    for name, value in headers:
        if not (name.isascii() and value.isascii()):
            raise ValueError("a header that is not ASCII")
