"""Long answers, sent piece by piece, and ended for a reader that has stopped reading."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Mapping
from contextlib import AbstractContextManager

import structlog
from starlette.responses import StreamingResponse
from starlette.types import Message, Receive, Scope, Send

from workers.web.problems import Problem

log = structlog.get_logger()

#: A reader that does not take a piece within this time has stopped reading.
SEND_SECONDS = 30.0


class Pieces(StreamingResponse):
    """Sends what a generator yields, and closes it whatever happens.

    The answer ends for a reader that has stopped reading. A Problem from the generator breaks it off, so that no client
    takes a part for the whole. ``place`` is held until the answer is over.
    """

    def __init__(
        self,
        pieces: AsyncGenerator[bytes],
        headers: Mapping[str, str],
        media_type: str,
        place: AbstractContextManager[object],
    ) -> None:
        unbuffered = {"cache-control": "no-store", "x-accel-buffering": "no"}
        super().__init__(pieces, headers={**unbuffered, **headers}, media_type=media_type)
        self._pieces = pieces
        self._place = place

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As Starlette's; to HEAD only the headers, with nothing read for it."""
        if scope["method"] == "HEAD":
            await self._pieces.aclose()
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            await send({"type": "http.response.body", "body": b""})
            return
        with self._place:
            await super().__call__(scope, receive, send)

    async def stream_response(self, send: Send) -> None:
        """As Starlette's."""

        async def send_soon(message: Message) -> None:
            async with asyncio.timeout(SEND_SECONDS):
                await send(message)

        async with contextlib.aclosing(self._pieces):
            try:
                await super().stream_response(send_soon)
            except TimeoutError:
                log.info("api.reader_stopped", seconds=SEND_SECONDS)
            except Problem as problem:
                log.warning("api.broken_off", status=problem.status)
