"""A provider that calls back at a steady rate: ``python -m tests.bench.caller URL RATE FILE``, a process of its own.

The file holds a callback a line (JSON: order, body, signature). Each is sent over a connection of its own at its
planned time, whether or not earlier ones were answered. Prints one JSON line: of each its order, when it was sent, the
seconds until the answer and the status (0: none came); and by how much the sender itself was late at most.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

ANSWER_SECONDS = 30.0


class Called(NamedTuple):
    """A callback that was sent."""

    order_id: str
    sent_at: float  #: epoch seconds
    seconds: float  #: until the answer
    status: int  #: 0: none came


class _Caller(asyncio.Protocol):
    """Sends one request; the answer's first bytes hold its status."""

    def __init__(self, request: bytes, status: asyncio.Future[int]) -> None:
        self._request = request
        self._status = status

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        if not self._status.done():
            self._status.set_result(int(data[9:12]))

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._status.done():
            self._status.set_result(0)


async def call_all(url: str, rate: float, callbacks: list[tuple[str, bytes]]) -> tuple[list[Called], float]:
    """Send them all; what came of each, and by how much a sending was late at most."""
    parts, loop = urlsplit(url), asyncio.get_running_loop()
    host, port = parts.hostname or "", parts.port or 80
    began, latest = loop.time() + 0.1, 0.0

    async def call(order_id: str, request: bytes) -> Called:
        sent_at, start = time.time(), time.perf_counter()
        status: asyncio.Future[int] = loop.create_future()
        transport = None
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                transport, _ = await loop.create_connection(lambda: _Caller(request, status), host, port)
                found = await status
        except (OSError, TimeoutError):
            found = 0
        finally:
            if transport is not None:
                transport.abort()
        return Called(order_id, sent_at, time.perf_counter() - start, found)

    calls = []
    for number, (order_id, request) in enumerate(callbacks):
        await asyncio.sleep(began + number / rate - loop.time())
        latest = max(latest, loop.time() - began - number / rate)
        calls.append(asyncio.create_task(call(order_id, request)))
    return list(await asyncio.gather(*calls)), latest


def request_of(url: str, body: bytes, signature: str) -> bytes:
    """The whole request."""
    parts = urlsplit(url)
    lines = [
        f"POST {parts.path} HTTP/1.1",
        f"host: {parts.netloc}",
        f"x-hash: {signature}",
        "content-type: application/json",
        f"content-length: {len(body)}",
        "connection: close",
    ]
    return "\r\n".join([*lines, "", ""]).encode() + body


def main() -> None:
    """Send what the file holds, and tell."""
    url, rate = sys.argv[1], float(sys.argv[2])
    lines = Path(sys.argv[3]).read_text(encoding="utf-8").splitlines()
    callbacks = [(order, request_of(url, body.encode(), sign)) for order, body, sign in map(json.loads, lines)]
    called, late = asyncio.run(call_all(url, rate, callbacks))
    print(json.dumps({"called": called, "late": late}), flush=True)


if __name__ == "__main__":
    main()
