"""The overview's figures: read once in a while, however many people look; each is told those of the accounts that they
see."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection

from workers.store.reads.figures.figures import Figures
from workers.web.threads import StoreThreads

#: A page shows figures that are at most so old.
FRESH_SECONDS = 5.0
READ_SECONDS = 15.0


class FiguresReader:
    """Keeps the newest. Used on one event loop."""

    def __init__(
        self, threads: StoreThreads, read: Callable[[], Figures], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._threads = threads
        self._read = read
        self._clock = clock
        self._lock = asyncio.Lock()
        self._figures: Figures | None = None
        self._read_at = float("-inf")

    async def take(self, accounts: Collection[str] | None, endpoints: Collection[str]) -> Figures:
        """Those of these accounts (None: of all), and of webhooks to these endpoints. Raises what the store raises."""
        figures = await self.look()
        return figures if accounts is None else figures.within(accounts, endpoints)

    async def look(self) -> Figures:
        """Of everything, read anew where that is due."""
        async with self._lock:
            figures = self._figures
            if figures is None or self._clock() - self._read_at >= FRESH_SECONDS:
                figures = self._figures = await self._threads.run(self._read, seconds=READ_SECONDS)
                self._read_at = self._clock()
            return figures
