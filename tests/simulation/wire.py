"""The network between hosts and everything outside: late, cut, and it does not care whether anybody still waits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import httpx

from tests.simulation.loop import HOST
from workers.http.errors import ClosedEarly, ConnectFailed

#: (status, headers, body)
Reply = tuple[int, dict[str, str], bytes]
#: What may go wrong, and its share.
Faults = tuple[tuple[str, float], ...]

#: What may happen to a call, and how often where faults are on.
CALL_FAULTS: Faults = (
    ("refused", 0.06),  # nothing was received
    ("cut_before", 0.04),  # received by nobody, but who knows
    ("cut_after", 0.06),  # processed, the answer is lost
    ("late", 0.06),  # processed, the answer comes too late
    ("broken", 0.04),  # processed, and the answer is a 500
    ("garbled", 0.03),  # processed, and the answer can't be read
    ("limited", 0.04),  # 429: not processed
    ("forbidden", 0.02),  # 401: not processed
)
#: Shops fail oftener.
HOOK_FAULTS: Faults = (("refused", 0.1), ("cut_after", 0.1), ("late", 0.1), ("broken", 0.15))
LATE_SECONDS = (2.0, 20.0)
#: Slow answers come in time, and are no fault: meanwhile other things happen.
SLOW_SHARE, SLOW_SECONDS = 0.3, (0.4, 1.7)


class Wire(httpx.AsyncBaseTransport):
    """What httpx sends through. ``serve(request)`` is the other side."""

    def __init__(
        self, world: Any, serve: Callable[[httpx.Request, str | None], Reply | None], faults: Faults = CALL_FAULTS
    ) -> None:
        self._world = world
        self._faults = faults
        self._serve = serve

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """The answer, or the error that the real wire would raise."""
        world, loop = self._world, self._world.loop
        fault = world.draw(self._faults)
        if fault == "refused":
            await asyncio.sleep(world.latency())
            raise ConnectFailed from ConnectionRefusedError(111, "refused")
        answered = loop.create_future()
        loop.at_world(world.latency(), self._arrive, request, fault, answered)
        world.perhaps_freeze(HOST.get())
        world.in_flight += 1
        status, headers, body = await answered
        return httpx.Response(status, headers=headers, stream=httpx.ByteStream(body))

    def _arrive(self, request: httpx.Request, fault: str | None, answered: asyncio.Future[Reply]) -> None:
        world = self._world
        reply = None if fault == "cut_before" else self._serve(request, fault)
        wait = world.latency() * 3 if world.dice.random() > SLOW_SHARE else world.dice.uniform(*SLOW_SECONDS)
        if fault == "late":
            wait = world.dice.uniform(*LATE_SECONDS)
        world.loop.at_world(wait, self._answer, reply if fault != "cut_after" else None, answered)

    def _answer(self, reply: Reply | None, answered: asyncio.Future[Reply]) -> None:
        self._world.in_flight -= 1
        if answered.done():
            return
        if reply is None:
            answered.set_exception(ClosedEarly())
        else:
            answered.set_result(reply)
