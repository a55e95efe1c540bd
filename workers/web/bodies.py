"""A request's body, counted and timed as it is read: it can neither fill the memory nor trickle for ever."""

from __future__ import annotations

import asyncio

from starlette.requests import Request


class BodyRefused(Exception):  # noqa: N818 - reads as what happened
    """The body can't be used. ``status`` is what to answer, ``detail`` one sentence."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail


async def read_body(request: Request, limit: int, seconds: float) -> bytes:
    """The whole body, at most ``limit`` bytes and within ``seconds``. Raises BodyRefused.

    A Content-Length that is too large is refused before a byte is read. Compressed bodies are refused: signatures are
    of the bytes as sent, and decompressing has no bound.
    """
    if request.headers.get("content-encoding", "identity").strip().lower() not in {"", "identity"}:
        raise BodyRefused(415, "compressed bodies are not taken")
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > limit:
        raise BodyRefused(413, f"the body is larger than {limit} bytes")
    body, more = bytearray(), True
    try:
        async with asyncio.timeout(seconds):
            while more:
                message = await request.receive()
                if message["type"] == "http.disconnect":
                    raise BodyRefused(400, "the client left before its body was there")
                body += message.get("body", b"")
                more = message.get("more_body", False)
                if len(body) > limit:
                    raise BodyRefused(413, f"the body is larger than {limit} bytes")
    except TimeoutError:
        raise BodyRefused(408, f"the body did not arrive within {seconds:g} s") from None
    return bytes(body)
