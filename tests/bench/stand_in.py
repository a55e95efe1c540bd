"""Provider and receiver that are no bottleneck: a bare asyncio protocol with canned answers, a process of its own.

``POST /d<ms>/…`` is a provider's create, answered after so many milliseconds, ``POST /d<ms>/…/verify`` its look-up of
an invoice that is paid; ``POST /hook`` a webhook, answered at once. ``GET /d<ms>/…?page=n`` is a page of a provider's
list. ``GET /stats`` and ``GET /arrivals`` tell what came; ``POST /reset`` forgets it, ``POST /record`` keeps the times,
``POST /take`` tells them and forgets them.
"""

from __future__ import annotations

import asyncio
import functools
import json
import secrets
import sys
import time
import urllib.parse
from typing import Any

from workers.engine.loop import new_loop

END = b"\r\n\r\n"
VERIFY = b"/invoice/verify "


class Ledger:
    """What came in since the last reset."""

    def __init__(self) -> None:
        self.made = 0  #: never reset: references stay unique
        self.prefix = secrets.token_hex(4)
        self.recording = False
        self.reset()

    def reset(self) -> None:
        self.creates = 0
        self.hooks: set[bytes] = set()
        self.last_hook_at = 0.0
        self.create_times: list[tuple[str, float]] = []
        self.hook_times: list[tuple[str, str, float, str, str]] = []  #: subject, type, came at; its time, expires_at

    def stats(self) -> dict[str, Any]:
        return {"creates": self.creates, "hooks": len(self.hooks), "last_hook_at": self.last_hook_at}


LEDGER = Ledger()


class Exchange(asyncio.Protocol):
    """One connection; keep-alive, one request after the other."""

    def __init__(self) -> None:
        self._buffer = b""
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer = self._buffer + data if self._buffer else data
        while self._buffer:
            end = self._buffer.find(END)
            if end < 0:
                return
            head = self._buffer[:end]
            size = end + len(END) + _length(head)
            if len(self._buffer) < size:
                return
            body, self._buffer = self._buffer[end + len(END) : size], self._buffer[size:]
            self._handle(head, body)

    def _handle(self, head: bytes, body: bytes) -> None:
        if head.startswith(b"POST /d"):
            delay = int(head[7 : head.index(b"/", 7)]) / 1000
            answer = _verified(body) if VERIFY in head[: head.index(b"\r")] else _create(body)
            if delay:
                asyncio.get_running_loop().call_later(delay, self._write, answer)
            else:
                self._write(answer)
        elif head.startswith(b"POST /hook"):
            self._write(_hook(head, body))
        elif head.startswith(b"GET /d"):
            self._write(_page(head))
        else:
            self._write(_control(head))

    def _write(self, answer: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(answer)


def _length(head: bytes) -> int:
    low = head.lower()
    at = low.find(b"content-length:")
    if at < 0:
        return 0
    end = low.find(b"\r\n", at)
    return int(low[at + 15 : end if end >= 0 else len(low)])


def _create(body: bytes) -> bytes:
    LEDGER.made += 1
    LEDGER.creates += 1
    if LEDGER.recording:
        start = body.index(b'"orderId":"') + 11
        LEDGER.create_times.append((body[start : body.index(b'"', start)].decode(), time.time()))
    made = f"{LEDGER.prefix}-{LEDGER.made}"
    return _answer(b"201 Created", b'{"result":{"id":"%b","url":"http://127.0.0.1/pay/%b"}}' % ((made.encode(),) * 2))


def _verified(body: bytes) -> bytes:
    """The tracking code says which invoice, and of which order: ``<reference>~<order id>``."""
    ref, _, order_id = json.loads(body)["trackingCode"].partition("~")
    found = {"id": ref, "orderId": order_id, "status": "COMPLETED", "price": "12.50", "baseCurrency": "eur"}
    return _answer(b"200 OK", json.dumps({"result": found}).encode())


@functools.cache
def _rows(page: int) -> bytes:
    """A page of the list of transactions: those that `c-<number>` names, a hundred a page, all still waiting."""
    numbers = range((page - 1) * 100, page * 100)
    more = {"status": "waiting", "amount": "12.50", "currency": "EUR", "pay_currency": "BTC", "network": "Bitcoin"}
    rows = [{"track_id": f"c-{number}", "order_id": f"open-{number}", **more} for number in numbers]
    return _answer(b"200 OK", json.dumps({"success": True, "data": rows}).encode())


def _page(head: bytes) -> bytes:
    query = head.split(b" ", 2)[1].partition(b"?")[2]
    return _rows(int(urllib.parse.parse_qs(query)[b"page"][0]))


def _hook(head: bytes, body: bytes) -> bytes:
    start = head.lower().find(b"webhook-id:") + 11
    end = head.find(b"\r\n", start)
    LEDGER.hooks.add(head[start : end if end >= 0 else len(head)].strip())
    LEDGER.last_hook_at = time.time()
    if LEDGER.recording:
        event = json.loads(body)
        times = event["time"], event["data"]["expires_at"]
        LEDGER.hook_times.append((event["subject"], event["type"], LEDGER.last_hook_at, *times))
    return _answer(b"200 OK", b"")


def _control(head: bytes) -> bytes:
    path = head.split(b" ", 2)[1]
    found: Any = {}
    if path == b"/reset":
        LEDGER.reset()
        LEDGER.recording = False
    elif path == b"/record":
        LEDGER.reset()
        LEDGER.recording = True
    elif path == b"/arrivals":
        found = {"creates": LEDGER.create_times, "hooks": LEDGER.hook_times}
    elif path == b"/take":  # the same, and forgets them: for hours of load
        found = {"creates": LEDGER.create_times, "hooks": LEDGER.hook_times}
        LEDGER.create_times, LEDGER.hook_times = [], []
        LEDGER.hooks.clear()
    else:
        found = LEDGER.stats()
    return _answer(b"200 OK", json.dumps(found).encode())


def _answer(status: bytes, body: bytes) -> bytes:
    kind = b"content-type: application/json\r\n" if body else b""
    return b"HTTP/1.1 %b\r\n%bcontent-length: %d\r\n\r\n%b" % (status, kind, len(body), body)


async def serve(host: str) -> None:
    """Listen on a free port, print it, go on until ended."""
    server = await asyncio.get_running_loop().create_server(Exchange, host, 0, backlog=2000)
    print(server.sockets[0].getsockname()[1], flush=True)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    try:
        with asyncio.Runner(loop_factory=new_loop) as runner:
            runner.run(serve(sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1"))
    except KeyboardInterrupt:
        sys.exit(0)
