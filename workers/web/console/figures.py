"""The overview's figures: read beside the pages, however many people look; each is told those of the accounts that they
see."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from functools import partial

import structlog

from workers.store.database import UNAVAILABLE
from workers.store.reads.figures.figures import Figures
from workers.web.console.cache import CachedValue
from workers.web.threads import Overloaded, StoreThreads

log = structlog.get_logger()

#: Figures older than the first are read anew when somebody looks; those older than the second are not shown.
FRESH_SECONDS, OLD_SECONDS = 5.0, 60.0
#: How often they are read while nobody looks, so that whoever comes finds some.
REST_SECONDS = 25.0
READ_SECONDS = 15.0


class FiguresReader:
    """Keeps the newest. Used on one event loop."""

    def __init__(self, threads: StoreThreads, read: Callable[[], Figures]) -> None:
        self._kept = CachedValue(partial(threads.run, read, seconds=READ_SECONDS), FRESH_SECONDS, OLD_SECONDS)
        self._resting: asyncio.Task[None] | None = None

    async def take(
        self, accounts: Collection[str] | None, endpoints: Collection[str], patience_seconds: float
    ) -> Figures | None:
        """Those of these accounts (None: of all), and of webhooks to these endpoints; None: they are being read.
        Raises what the store raises."""
        figures = await self._kept.take(patience_seconds)
        return figures if accounts is None or figures is None else figures.within(accounts, endpoints)

    def start(self) -> None:
        """Read them now and then even if nobody looks: whoever comes finds some."""
        self._resting = asyncio.create_task(self._go_on())

    def stop(self) -> None:
        """Nobody is to come any more."""
        if self._resting is not None:
            self._resting.cancel()

    async def _go_on(self) -> None:
        while True:
            try:
                await self._kept.take(READ_SECONDS)
            except (Overloaded, *UNAVAILABLE) as error:
                log.info("console.figures_wait", error=type(error).__name__)
            await asyncio.sleep(REST_SECONDS)
