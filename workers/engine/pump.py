"""The pump: claim -> I/O in parallel -> commit. One pump per worker process, its lanes tasks of one event loop.

A lane claims as many due rows as it has free slots, starts their I/O, and claims again as slots come free: one slow
call never holds up the rest. What has finished is committed in groups: while one commit runs, the next gathers. Nothing
is held in memory that the agenda does not know: a process that dies leaves leases that run out.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, suppress
from contextvars import copy_context
from typing import Any

import structlog

from domain.decision import Stage
from workers.engine.draining import drain
from workers.engine.lane import AnyLane, LaneState
from workers.engine.loop import new_loop
from workers.engine.observer import EngineLog, Failure, Observer, Trouble
from workers.engine.pipeline import Pipeline
from workers.engine.shared import Shared
from workers.engine.store_calls import back_off
from workers.engine.timers import Timers
from workers.engine.work import AnyWork
from workers.store.agenda import Claim, Due, Lane

log = structlog.get_logger()

SWEEP_SECONDS = 1.0  #: how often SQL is asked what is due; a lost doorbell costs no more than this


class Pump:
    """Runs the stages of one process in a thread with an event loop of its own."""

    def __init__(
        self,
        open_works: Callable[[AsyncExitStack], Awaitable[Sequence[AnyWork]]],
        next_due: Callable[[Sequence[Lane]], Sequence[Due]],
        release: Callable[[Sequence[Claim]], None],
        ring_others: Callable[[Lane], None],
        clear_doorbell: Callable[[Lane], None] = lambda _: None,
        observer: Observer | None = None,
    ) -> None:
        self._open_works = open_works
        self._shared = Shared(release, ring_others, clear_doorbell, observer or EngineLog())
        self._timers = Timers(self._shared.calls, next_due, self._wake)
        self._pipelines: dict[Stage, Pipeline[Any, Any]] = {}
        self._lanes: dict[Lane, AnyLane] = {}
        self._sweep_now = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._runner: threading.Thread | None = None
        self._ready = threading.Event()
        self._deadline_seconds = 25.0

    # ------------------------------------------------------------ from other threads

    def start(self) -> None:
        """Start the thread; returns when its loop runs."""
        self._runner = threading.Thread(target=self._run_loop, name="pump", daemon=True)
        self._runner.start()
        self._ready.wait()

    def wake(self, lane: Lane) -> None:
        """There may be work in this lane. Cheap, from any thread, harmless when there is none."""
        self._call(lambda: self._wake(lane))

    def leave_pending(self, lane: Lane) -> bool:
        """After a doorbell: whether its lane goes on by itself. It then stays pending until the lane runs dry.

        Until then it need not ring again: each ring costs a message.
        """
        found = self._lanes.get(lane)
        if self._shared.stopping or found is None or not found.goes_on:
            return False
        found.wake_up_pending = True
        return found.goes_on  # it may have run dry in between and missed the flag; clearing twice is harmless

    def sweep(self) -> None:
        """Ask SQL now what is due."""
        self._call(self._sweep_now.set)

    def slots_used(self, stage: Stage) -> int:
        """Slots that a stage uses at this moment."""
        lanes = [lane for lane in list(self._lanes.values()) if lane.work.stage is stage]
        slots = {id(lane.slots): lane.slots for lane in lanes if lane.slots is not None}
        return sum(one.used_by[stage] for one in slots.values())

    def goes_on(self, seconds: float) -> bool:
        """Whether the loop answers within so many seconds, or was told to stop. From any thread but its own."""
        if self._shared.stopping:
            return True
        answered = threading.Event()
        self._call(answered.set)
        return answered.wait(seconds)

    def stop(self, deadline_seconds: float) -> None:
        """Claim nothing more, let what is under way finish, commit it; release the rest when the time is up."""
        self._deadline_seconds = deadline_seconds
        self._shared.stopping = True
        self._call(self._sweep_now.set)
        if self._runner is not None:
            self._runner.join(deadline_seconds + 5)

    def _call(self, action: Callable[[], Any]) -> None:
        loop = self._loop
        if loop is not None and not loop.is_closed():
            try:
                # A context without what the caller has bound for its log lines: that would stay with the lane.
                context = copy_context()
                context.run(structlog.contextvars.clear_contextvars)
                loop.call_soon_threadsafe(action, context=context)
            except RuntimeError:
                log.debug("pump.closed")  # it has just closed: another process's sweep finds the work

    # ------------------------------------------------------------ on the loop

    def _run_loop(self) -> None:
        with asyncio.Runner(loop_factory=new_loop) as runner:
            runner.run(self._main())

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._ready.set()
        observer = self._shared.observer
        async with AsyncExitStack() as stack:
            works = await self._open(stack)
            for work in works:
                self._pipelines[work.stage] = Pipeline(self._shared, work, self._timers, self._pipelines)
            committers = [asyncio.create_task(self._commit_on(one)) for one in self._pipelines.values()]
            observer.started([work.stage for work in works])
            await self._sweep_until_stopped()
            commits = [one.commits for one in self._pipelines.values()]
            await drain(self._shared, list(self._lanes.values()), commits, self._deadline_seconds)
            for committer in committers:
                committer.cancel()
        self._shared.calls.close()
        observer.stopped()

    async def _commit_on(self, pipeline: Pipeline[Any, Any]) -> None:
        """Never returns. A committer that a bug has ended is started again: otherwise its stage would stand still."""
        while True:
            try:
                await pipeline.commits.run()
            except Exception as error:  # noqa: BLE001 - told
                self._shared.observer.failed(Failure(Trouble.COMMITTER_ENDED, pipeline.work.stage, error))
                await asyncio.sleep(SWEEP_SECONDS)

    async def _open(self, stack: AsyncExitStack) -> Sequence[AnyWork]:
        """Open what the stages need; while that fails (the database is away, a key is missing) say so and wait."""
        tries = 0
        while not self._shared.stopping:
            try:
                return await self._open_works(stack)
            except Exception as error:  # noqa: BLE001 - a worker without a pump would look alive and do nothing
                await back_off(self._shared.observer, error, tries)
                tries += 1
        return ()

    async def _sweep_until_stopped(self) -> None:
        tries = 0
        while not self._shared.stopping:
            self._sweep_now.clear()
            try:
                await self._sweep()
                tries = 0
            except Exception as error:  # noqa: BLE001 - whatever it is, the next second must be swept too
                await back_off(self._shared.observer, error, tries)
                tries += 1
                continue
            with suppress(TimeoutError):
                async with asyncio.timeout(SWEEP_SECONDS):
                    await self._sweep_now.wait()

    async def _sweep(self) -> None:
        """Look for new lanes, then for lanes with work."""
        lanes, due = await self._shared.calls.run(self._look)  # one call: each wakes a thread and the loop
        for lane in lanes:
            if lane not in self._lanes:
                pipeline = self._pipelines[lane[0]]
                self._lanes[lane] = found = LaneState(pipeline.work, lane[1])
                pipeline.performing.note_use(found)
        self._timers.wake_for(due)

    def _look(self) -> tuple[list[Lane], Sequence[Due]]:
        works = [one.work for one in self._pipelines.values()]
        lanes = [(work.stage, name) for work in works for name in work.lanes()]
        return lanes, self._timers.next_due(lanes)

    def _wake(self, lane: Lane) -> None:
        found = self._lanes.get(lane)
        if found is None:  # an endpoint that was just added
            self._sweep_now.set()
        elif not self._shared.stopping:
            found.wake_up()
            if found.task is None:
                found.task = asyncio.create_task(self._pipelines[lane[0]].claiming.run(found))
