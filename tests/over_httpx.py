"""Any of httpx's transports in the place of the wire: recorded answers, simulated ones."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import cast

import httpx

from workers.http.messages import WRITTEN, Reply, Request


class OverHttpx:
    """Takes every request for written: how far one gets, httpx's transports do not tell."""

    def __init__(self, transport: httpx.AsyncBaseTransport) -> None:
        self._transport = transport

    async def exchange(self, request: Request) -> Reply:
        """The answer's head. Raises what the transport raises."""
        request.progress = WRITTEN
        asked = httpx.Request(
            request.method, request.url, headers=[*request.headers, *request.own_headers], content=request.body
        )
        return _OfHttpx(await self._transport.handle_async_request(asked))

    async def aclose(self) -> None:
        """Close the transport."""
        await self._transport.aclose()


class _OfHttpx(Reply):
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
