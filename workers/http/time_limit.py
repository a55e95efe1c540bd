"""Time-outs of many exchanges by one timer. asyncio's own set and cancel one for each: four times the work."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self

LEAST_SECONDS = 0.01  #: between two looks at the time-outs: one may come this much later


class TimeLimits:
    """The time-outs of one event loop that run at this moment."""

    def __init__(self) -> None:
        self._running: dict[TimeLimit, None] = {}
        self._timer: asyncio.TimerHandle | None = None  #: set for the earliest of them, or for one that has ended
        self._look_at = 0.0

    def begin(self, limit: TimeLimit) -> None:
        """It runs from now on."""
        self._running[limit] = None
        if self._timer is None or limit.at < self._look_at:
            self.watch(limit.at)

    def end(self, limit: TimeLimit) -> None:
        """It runs no more. Harmless if it does not run."""
        self._running.pop(limit, None)
        if not self._running and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def watch(self, at: float) -> None:
        """Look at the time-outs then, if not sooner."""
        if self._timer is not None:
            if self._look_at <= at:
                return
            self._timer.cancel()
        self._look_at = at
        self._timer = asyncio.get_running_loop().call_at(at, self._look)

    def _look(self) -> None:
        self._timer = None
        now = asyncio.get_running_loop().time()
        for limit in [limit for limit in self._running if limit.at <= now]:
            del self._running[limit]
            limit.expire()
        if self._running:
            self.watch(max(now + LEAST_SECONDS, min(limit.at for limit in self._running)))


class TimeLimit:
    """Cancels what runs inside of it when its time is over, and raises TimeoutError then, as ``asyncio.timeout``.

    It stands still for as long as it is told to (``wait``): for what is no fault of the other side.
    """

    __slots__ = ("_cancelling", "_limits", "_seconds", "_task", "at", "is_expired", "waited_seconds")

    def __init__(self, limits: TimeLimits, seconds: float) -> None:
        self._limits = limits
        self._seconds = seconds
        self.is_expired = False
        self.waited_seconds = 0.0
        self.at = 0.0  #: by the loop's time

    def __enter__(self) -> Self:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a time limit is used inside of a task")
        self._task, self._cancelling = task, task.cancelling()
        self.at = asyncio.get_running_loop().time() + self._seconds
        self._limits.begin(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._limits.end(self)
        if self.is_expired and self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise TimeoutError from error

    def wait(self, seconds: float) -> None:
        """These seconds do not count; a negative number takes some back."""
        self.waited_seconds += seconds
        self.at += seconds
        if not self.is_expired:
            self._limits.watch(self.at)

    def expire(self) -> None:
        """Its time is over."""
        self.is_expired = True
        self._task.cancel()
