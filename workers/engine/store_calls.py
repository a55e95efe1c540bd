"""Calls of the synchronous store from the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from workers.engine.observer import Failure, Observer, Trouble

Answer = TypeVar("Answer")

BACK_OFF_SECONDS: tuple[float, ...] = (0.1, 0.2, 0.5, 1.0, 2.0)  #: while the database is away; the last repeats


class StoreCalls:
    """The threads in which the store is called."""

    def __init__(self) -> None:
        self._executor = ThreadPoolExecutor(max_workers=10, thread_name_prefix="store")
        self._apart = ThreadPoolExecutor(max_workers=1, thread_name_prefix="keeper")

    async def run(self, function: Callable[..., Answer], *arguments: object) -> Answer:
        """The function's answer, from a thread."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, function, *arguments)

    async def run_apart(self, function: Callable[..., Answer], *arguments: object) -> Answer:
        """The same, in a thread that never waits behind other calls."""
        return await asyncio.get_running_loop().run_in_executor(self._apart, function, *arguments)

    def close(self) -> None:
        """Take no more calls; those under way end by themselves."""
        self._executor.shutdown(wait=False, cancel_futures=True)
        self._apart.shutdown(wait=False, cancel_futures=True)


async def back_off(observer: Observer, error: BaseException, tries: int) -> None:
    """Wait before the next try, longer each time; the first failure is told."""
    if tries == 0:
        observer.failed(Failure(Trouble.STORE_AWAY, error=error))
    await asyncio.sleep(BACK_OFF_SECONDS[min(tries, len(BACK_OFF_SECONDS) - 1)])
