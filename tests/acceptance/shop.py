"""Shops of a test: endpoints that behave as they are told, and write down everything that arrives, in its order.

All of them are one server on one event loop, so that arrivals at different endpoints have one order too.
"""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from domain.exact_json import read_json

START_SECONDS = 180


@dataclass(slots=True)
class Arrival:
    """One webhook as it came. ``tries``: how often it had come to this endpoint before."""

    endpoint: str
    id: str
    subject: str
    order_id: str
    sequence: int
    body: bytes
    headers: Mapping[str, str]
    tries: int
    taken: bool = False


#: What a shop answers: a status, None for a connection that is cut; True with it: taken although it says otherwise.
Behaviour = Callable[[Arrival], Awaitable[tuple[int | None, bool]]]


async def take(_: Arrival) -> tuple[int | None, bool]:
    """As a shop should."""
    return 204, True


@dataclass
class Shops:
    """`with Shops({"healthy": take}) as shops: shops.url("healthy")`."""

    behaviours: Mapping[str, Behaviour]
    arrivals: list[Arrival] = field(default_factory=list)  #: of all endpoints, as they came
    most_at_once: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._open: Counter[str] = Counter()
        self._seen: Counter[tuple[str, str]] = Counter()
        self._ready = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    def __enter__(self) -> Shops:
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)
        self._thread.start()
        assert self._ready.wait(START_SECONDS)
        return self

    def __exit__(self, *_: object) -> None:
        self.call(self._ended.set)
        self._thread.join(START_SECONDS)

    def url(self, endpoint: str) -> str:
        """Where an endpoint is."""
        return f"http://127.0.0.1:{self.port}/{endpoint}"

    def call(self, action: Callable[[], Any]) -> None:
        """Do something on the server's loop."""
        assert self._loop is not None
        self._loop.call_soon_threadsafe(action)

    def taken(self, endpoint: str) -> set[str]:
        """The ids of the events that an endpoint has taken."""
        return {arrival.id for arrival in list(self.arrivals) if arrival.endpoint == endpoint and arrival.taken}

    def last(self, endpoint: str) -> int:
        """The place, among all arrivals, of the last event that was new to an endpoint."""
        return max(place for place, each in enumerate(self.arrivals) if each.endpoint == endpoint and not each.tries)

    async def _serve(self) -> None:
        self._loop, self._ended = asyncio.get_running_loop(), asyncio.Event()
        application = web.Application()
        application.add_routes([web.post("/{endpoint}", self._receive)])
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.port = runner.addresses[0][1]
        self._ready.set()
        await self._ended.wait()
        await runner.cleanup()

    async def _receive(self, request: web.Request) -> web.StreamResponse:
        endpoint, body = request.match_info["endpoint"], await request.read()
        arrival = self._note(endpoint, request, body)
        self._open[endpoint] += 1
        self.most_at_once[endpoint] = max(self.most_at_once[endpoint], self._open[endpoint])
        try:
            status, taken = await self.behaviours[endpoint](arrival)
        finally:
            self._open[endpoint] -= 1
        arrival.taken = taken
        if status is None:
            assert request.transport is not None
            request.transport.abort()
            return web.Response(status=500)
        return web.Response(status=status)

    def _note(self, endpoint: str, request: web.Request, body: bytes) -> Arrival:
        envelope, event_id = read_json(body.decode()), request.headers["webhook-id"]
        arrival = Arrival(
            endpoint,
            event_id,
            envelope["subject"],
            envelope["data"]["order_id"],
            int(envelope["sequence"]),
            body,
            {
                name.lower(): value
                for name, value in request.headers.items()
                if name.lower().startswith(("webhook-", "trace"))
            },
            self._seen[endpoint, event_id],
        )
        self._seen[endpoint, event_id] += 1
        self.arrivals.append(arrival)
        return arrival
