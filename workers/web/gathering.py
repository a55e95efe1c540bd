"""One call of the store for many requests: those that come during a call share the next one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from workers.store.database import UNAVAILABLE
from workers.web.threads import Overloaded, StoreThreads

Item = TypeVar("Item")
Result = TypeVar("Result")


class Gathering(Generic[Item, Result]):
    """Hands items to ``function`` together, which gives a result for each. Used on one event loop.

    An item never joins a call that has begun, so its result was read or written after it came. When a call fails, its
    items are tried again in halves, unless the store is away.
    """

    def __init__(
        self,
        threads: StoreThreads,
        function: Callable[[Sequence[Item]], Sequence[Result]],
        *,
        most: int,
        most_waiting: int,
        seconds: float,
        turns: int = 0,
    ) -> None:
        """``turns``: of the event loop before each call, so that requests whose bytes are here join it."""
        self._threads = threads
        self._function = function
        self._most = most  #: items of one call
        self._most_waiting = most_waiting
        self._seconds = seconds
        self._turns = turns
        self._waiting: list[tuple[Item, asyncio.Future[Result]]] = []
        self._working: asyncio.Task[None] | None = None

    async def ask(self, item: Item) -> Result:
        """The item's result. Raises what the function raised, and Overloaded."""
        if len(self._waiting) >= self._most_waiting:
            raise Overloaded(f"{len(self._waiting)} requests wait")
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        if self._working is None:
            self._working = asyncio.create_task(self._work())
        return await future

    async def _work(self) -> None:
        while self._waiting:
            for _ in range(self._turns):
                await asyncio.sleep(0)
            batch, self._waiting = self._waiting[: self._most], self._waiting[self._most :]
            await self._call(batch)
        self._working = None

    async def _call(self, batch: Sequence[tuple[Item, asyncio.Future[Result]]]) -> None:
        try:
            results = await self._threads.run(self._function, [item for item, _ in batch], seconds=self._seconds)
        except (Overloaded, *UNAVAILABLE) as error:
            _fail(batch, error)
        except Exception as error:  # noqa: BLE001 - handed to those who asked
            if len(batch) == 1:
                _fail(batch, error)
                return
            half = len(batch) // 2  # an item that no database takes must not spoil the others' results
            await self._call(batch[:half])
            await self._call(batch[half:])
        else:
            for (_, future), result in zip(batch, results, strict=True):
                if not future.done():
                    future.set_result(result)


def _fail(batch: Sequence[tuple[Item, asyncio.Future[Result]]], error: Exception) -> None:
    for _, future in batch:
        if not future.done():  # whoever asked may have left
            future.set_exception(error)
