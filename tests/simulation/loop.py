"""The scheduler: an asyncio loop for many hosts at once, with virtual time and an order chosen by a seed.

Every host's callbacks run in the order in which they became ready, as in asyncio; which host is next is chosen by the
dice. What a host hands to its executor runs in between, at moments chosen likewise. A host that dies runs nothing more,
wherever it stood; one that is frozen goes on later, as if it had been suspended.
"""

from __future__ import annotations

import asyncio
import heapq
import math
from collections import deque
from collections.abc import Callable, Coroutine
from contextlib import suppress
from contextvars import Context, ContextVar, copy_context
from random import Random
from typing import Any

HOST: ContextVar[Any] = ContextVar("host")


class Died(BaseException):
    """The host is dead: unwinds whatever it was in the middle of."""


#: To mypy no class at all: its signatures say less than what is meant here, and 35 methods are nobody's business.
_Asyncio: Any = asyncio.AbstractEventLoop


class Handle:
    """A callback that waits for its turn."""

    __slots__ = ("args", "callback", "cancelled", "context", "host", "time")

    def __init__(self, host: Any, callback: Callable[..., Any], args: Any, context: Context, time: float) -> None:
        self.host = host
        self.callback = callback
        self.args = args
        self.context = context
        self.time = time
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True

    def when(self) -> float:
        return self.time


class Host:
    """Whose callbacks are run together: one operating-system process, or the world outside."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.queue: deque[Handle] = deque()
        self.dead = False
        self.frozen_until = 0.0

    def arrive(self) -> None:
        """Called before each of its callbacks; may die or freeze here."""


class Loop(_Asyncio):  # type: ignore[misc]
    """Runs until nothing is left to do. ``dice`` decides all that is left open."""

    DEEPEST = 3  #: executor calls that wait for one another on one stack

    def __init__(self, dice: Random) -> None:
        self.now = 0.0
        self.dice = dice
        self.outside = Host("world")
        self.depth = 0
        self.steps = 0
        self.idle: Callable[[float], None] = lambda _: None  #: asked before time passes
        self._ready: list[Any] = []
        self._timers: list[tuple[float, int, Handle]] = []
        self._count = 0
        self._tasks: list[tuple[Any, Context]] = []

    # ------------------------------------------------------------ what asyncio asks of a loop

    def time(self) -> float:
        return self.now

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return True

    def is_closed(self) -> bool:
        return False

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Nobody retrieves what a dead host's tasks raised."""

    def call_soon(self, callback: Callable[..., Any], *args: Any, context: Context | None = None) -> Any:
        context = copy_context() if context is None else context
        handle = Handle(context.get(HOST, self.outside), callback, args, context, self.now)
        self._enqueue(handle)
        return handle

    call_soon_threadsafe = call_soon

    def call_later(self, delay: float, callback: Callable[..., Any], *args: Any, context: Context | None = None) -> Any:
        return self.call_at(self.now + delay, callback, *args, context=context)

    def call_at(self, when: float, callback: Callable[..., Any], *args: Any, context: Context | None = None) -> Any:
        context = copy_context() if context is None else context
        handle = Handle(context.get(HOST, self.outside), callback, args, context, when)
        self._count += 1
        heapq.heappush(self._timers, (when, self._count, handle))
        return handle

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)

    def create_task(self, coro: Coroutine[Any, Any, Any], *, name: Any = None, context: Context | None = None) -> Any:
        context = copy_context() if context is None else context
        task = asyncio.Task(coro, loop=self, name=name, context=context)
        self._tasks.append((task, context))
        return task

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:
        """The call is made in one go at some moment soon; what it brought is known some moment later."""
        future, dice = self.create_future(), self.dice

        def work() -> None:
            if future.cancelled():
                return
            try:
                deliver, outcome = future.set_result, func(*args)
            except Died:
                return
            except BaseException as error:
                deliver, outcome = future.set_exception, error
            self.call_later(dice.random() * 0.002, lambda: None if future.done() else deliver(outcome))

        self.call_later(self._executor_wait(), work)
        return future

    def _executor_wait(self) -> float:
        """Mostly a moment, sometimes as long as a busy database takes."""
        return self.dice.random() * (0.005 if self.dice.random() < 0.95 else 0.4)

    # ------------------------------------------------------------ for the simulation

    def at_world(self, delay: float, callback: Callable[..., Any], *args: Any) -> Any:
        """Something outside of every host happens after ``delay`` seconds."""
        return self.call_at(self.now + delay, callback, *args, context=Context())

    def start(self, host: Host, coro: Coroutine[Any, Any, Any]) -> None:
        """A host's main coroutine."""
        context = Context()
        context.run(HOST.set, host)
        self.create_task(coro, context=context)

    def kill(self, host: Host) -> None:
        """Nothing of this host runs any more."""
        host.dead = True
        host.queue.clear()

    def step(self, until: float) -> bool:
        """Run one callback, or let time pass to the next timer; False: nothing is to be done before ``until``."""
        self._move_timers()
        waiting = [host for host in self._ready if host.frozen_until <= self.now]
        if waiting:
            self._run(waiting[0] if len(waiting) == 1 else waiting[int(self.dice.random() * len(waiting))])
            return True
        while self._timers and (self._timers[0][2].cancelled or self._timers[0][2].host.dead):
            heapq.heappop(self._timers)
        due = self._timers[0][0] if self._timers else math.inf
        for host in self._ready:
            due = min(due, host.frozen_until)
        if self.depth == 0:
            self.idle(due)
        if due >= until:
            self.now = max(self.now, until)
            return False
        self.now = max(self.now, due)
        return True

    def next_outside(self) -> float:
        """When the world acts next, if at all."""
        return min((at for at, _, handle in self._timers if handle.host is self.outside), default=math.inf)

    def pause(self, seconds: float) -> bool:
        """Inside an executor call: let the others run meanwhile; False inside a task, and too deep: no time passes."""
        if self.depth >= self.DEEPEST or asyncio.current_task(self) is not None:
            return False
        self.depth += 1
        until = self.now + seconds
        while self.step(until):
            pass
        self.depth -= 1
        return True

    def close(self) -> None:
        """Take apart what was left in the middle, in order, so that no collector does it at some other time."""
        self._timers.clear()
        for task, context in self._tasks:
            if not task.done():
                task._log_destroy_pending = False
                with suppress(BaseException):
                    context.run(task.get_coro().close)
            elif not task.cancelled():
                task.exception()

    def _enqueue(self, handle: Handle) -> None:
        host = handle.host
        if host.dead:
            return
        if not host.queue:
            self._ready.append(host)
        host.queue.append(handle)

    def _move_timers(self) -> None:
        timers = self._timers
        while timers and timers[0][0] <= self.now:
            handle = heapq.heappop(timers)[2]
            if not handle.cancelled:
                self._enqueue(handle)

    def _run(self, host: Any) -> None:
        self.steps += 1
        handle = None
        if host.queue:
            host.arrive()
        if host.queue and host.frozen_until <= self.now:
            handle = host.queue.popleft()
        if not host.queue:
            with suppress(ValueError):
                self._ready.remove(host)
        if handle is not None and not handle.cancelled:
            with suppress(Died):
                handle.context.run(handle.callback, *handle.args)
