"""Wakes lanes at the moment when something is due there."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from workers.engine.store_calls import StoreCalls
from workers.store.agenda import Due, Lane

LOOK_AHEAD_SECONDS = 1.5  #: rows due within this get a timer of their own
EARLY_SECONDS = 0.002  #: uvloop rounds: a timer may fire this much too early, and the claim would find nothing


class Timers:
    """One timer for each lane that has work soon. Used on the loop only."""

    def __init__(
        self, calls: StoreCalls, next_due: Callable[[Sequence[Lane]], Sequence[Due]], wake: Callable[[Lane], None]
    ) -> None:
        self.next_due = next_due
        self._calls = calls
        self._wake = wake

    async def set(self, lanes: Sequence[Lane]) -> None:
        """Ask what is due in these lanes, and wake them for it."""
        self.wake_for(await self._calls.run(self.next_due, lanes))

    def wake_for(self, found: Sequence[Due]) -> None:
        """Wake the lanes that have something due, now or at the very moment when it will be."""
        loop = asyncio.get_running_loop()
        for due in found:
            if due.in_seconds <= 0:
                self._wake((due.stage, due.lane))
            elif due.in_seconds <= LOOK_AHEAD_SECONDS:
                loop.call_later(due.in_seconds + EARLY_SECONDS, self._wake, (due.stage, due.lane))
