"""A value that many pages show and that takes time to read. It is kept, and read anew beside the pages: once, however
many people look."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

Value = TypeVar("Value")

#: How long a page waits for what is being read.
PATIENCE_SECONDS = 0.05


class CachedValue(Generic[Value]):
    """The newest value that was read. A page waits at most a moment for a fresh one, then it gets the one before.

    Used on one event loop.
    """

    def __init__(
        self,
        read: Callable[[], Awaitable[Value]],
        fresh_seconds: float,
        old_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._read = read
        self._fresh_seconds = fresh_seconds  #: an older one is read anew when somebody asks
        self._old_seconds = old_seconds  #: an older one is told to nobody
        self._clock = clock
        self._value: Value | None = None
        self._read_at = float("-inf")
        self._reading: asyncio.Task[None] | None = None
        self._began_at = 0.0

    async def take(self, patience_seconds: float) -> Value | None:
        """The value, at most ``old_seconds`` old; None: it is still being read. Raises what the reading raises.

        ``patience_seconds`` count from when the reading began: whoever comes later waits no longer than the first.
        """
        if self._age(self._read_at) >= self._fresh_seconds:
            reading = self._begin()
            await asyncio.wait({reading}, timeout=max(0.0, patience_seconds - self._age(self._began_at)))
            if reading.done():
                reading.result()
        return self._value if self.has_some() else None

    def has_some(self) -> bool:
        """Whether there is a value that may be told."""
        return self._age(self._read_at) < self._old_seconds

    def _begin(self) -> asyncio.Task[None]:
        """The reading under way, or a new one."""
        if self._reading is None or self._reading.done():
            self._began_at = self._clock()
            self._reading = asyncio.create_task(self._go())
            self._reading.add_done_callback(_retrieve)
        return self._reading

    async def _go(self) -> None:
        self._value = await self._read()
        self._read_at = self._began_at

    def _age(self, at: float) -> float:
        return self._clock() - at


def _retrieve(reading: asyncio.Task[None]) -> None:
    """What it raised is for those who waited; asyncio would log that nobody did."""
    if not reading.cancelled():
        reading.exception()
