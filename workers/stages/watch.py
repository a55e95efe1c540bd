"""The watch over the database's clock, beside the stages on the pump's loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import structlog

from workers.store.database import UNAVAILABLE, first_line

log = structlog.get_logger()

LOOK_SECONDS = 1.0


@asynccontextmanager
async def watching(look: Callable[[], None]) -> AsyncIterator[None]:
    """Inside, ``look`` is called once a second, in a thread of its own: it holds up nothing."""
    task = asyncio.create_task(_watch(look))
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _watch(look: Callable[[], None]) -> None:
    failed = False
    while True:
        try:
            await asyncio.to_thread(look)
            failed = False
        except UNAVAILABLE as error:
            if not failed:
                log.warning("clock.unseen", error=first_line(error))
            failed = True
        except Exception:
            log.exception("clock.watch_failed")
        await asyncio.sleep(LOOK_SECONDS)
