"""How the whole does, for the bar and the rail of every page: read once in a while, however many people look."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import structlog

from domain.why import Cause, Late, Verdict
from workers.store.database import UNAVAILABLE
from workers.store.reads.why.late import Overview
from workers.web.threads import Overloaded, StoreThreads

log = structlog.get_logger()

#: A page shows a verdict that is at most so old.
FRESH_SECONDS = 2.0
READ_SECONDS = 10.0
#: Causes that are settled by a person, by the rail's entry that counts them.
TO_SETTLE: Mapping[Cause, str] = {
    Cause.IN_DOUBT: "doubts",
    Cause.REJECTED_MESSAGE: "rejected",
    Cause.CONTRADICTION: "contradictions",
}


@dataclass(frozen=True, slots=True)
class Pulse:
    """The verdict and what is late. ``counts``: what needs a person, by the rail's entry; zero is left out."""

    verdict: Verdict
    late: tuple[Late, ...]
    counts: Mapping[str, int] = field(default_factory=dict)
    overview: Overview | None = None


class PulseReader:
    """Keeps the newest one. Used on one event loop."""

    def __init__(
        self,
        threads: StoreThreads,
        read: Callable[[], Overview],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._threads = threads
        self._read = read
        self._clock = clock
        self._lock = asyncio.Lock()
        self._pulse: Pulse | None = None
        self._read_at = float("-inf")

    async def take(self) -> Pulse | None:
        """At most FRESH_SECONDS old; None while the database is away."""
        async with self._lock:
            if self._clock() - self._read_at >= FRESH_SECONDS:
                self._pulse = await self._fresh()
                self._read_at = self._clock()
            return self._pulse

    async def _fresh(self) -> Pulse | None:
        try:
            overview = await self._threads.run(self._read, seconds=READ_SECONDS)
        except (Overloaded, *UNAVAILABLE) as error:
            log.warning("console.store_away", error=type(error).__name__)
            return None
        counts = {TO_SETTLE[one.cause]: one.count for one in overview.late if one.cause in TO_SETTLE}
        return Pulse(overview.verdict, tuple(overview.late), counts, overview)
