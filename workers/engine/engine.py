"""The pump: claim -> I/O side by side -> commit, a lane each on one event loop, one pump per worker process.

A lane's runner claims as many due rows as it has free slots, starts their I/O, and claims again as slots come free: one
slow call never holds up the rest. What has finished is committed in groups: while one commit runs, the next gathers.
Nothing is held in memory that the agenda does not know: a process that dies leaves leases that run out.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import OrderedDict, defaultdict
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, suppress
from contextvars import copy_context
from functools import partial
from typing import Any

import structlog

from domain.decision import Stage
from workers.engine.commits import Commits, StoreCalls, first_line
from workers.engine.loop import new_loop
from workers.engine.places import hold_places, hold_slots
from workers.engine.work import Lane, Runner, Slots, Work, wait_in
from workers.store.agenda import Claim, Due
from workers.store.database import UNAVAILABLE

log = structlog.get_logger()

SWEEP_SECONDS = 1.0  #: how often SQL is asked what is due; a lost bell costs no more than this
LOOK_AHEAD_SECONDS = 1.5  #: rows due within this get a timer of their own
RECENT_LANES = 200  #: of a stage that others feed: a commit looks for places in so many lanes, not in each of thousands
TIMER_SECONDS = 0.002  #: a timer may be early by so much (uvloop rounds): the claim would find nothing


class Pump:
    """Runs the stages of one process in a thread with an event loop of its own."""

    def __init__(
        self,
        open_works: Callable[[AsyncExitStack], Awaitable[Sequence[Work]]],
        next_due: Callable[[Sequence[Lane]], Sequence[Due]],
        release: Callable[[Sequence[Claim]], None],
        ring_others: Callable[[Lane], None],
        clear_bell: Callable[[Lane], None] = lambda _: None,
    ) -> None:
        self._open_works = open_works
        self._next_due = next_due
        self._release = release
        self._ring_others = ring_others
        self._clear_bell = clear_bell
        self._calls = StoreCalls()
        self._runners: dict[Lane, Runner] = {}
        self._recent: defaultdict[Stage, OrderedDict[str, Runner]] = defaultdict(OrderedDict)
        self._works: Sequence[Work] = ()
        self._under_way: dict[asyncio.Task[None], Sequence[Claim]] = {}  #: and what may be given back
        self._commits: dict[Stage, Commits] = {}
        self._stopping = False
        self._sweep_now = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._ready = threading.Event()
        self._deadline_seconds = 25.0

    # ------------------------------------------------------------ from other threads

    def start(self) -> None:
        """Start the thread; returns when its loop runs."""
        self._thread = threading.Thread(target=self._run_loop, name="pump", daemon=True)
        self._thread.start()
        self._ready.wait()

    def wake(self, lane: Lane) -> None:
        """There may be work in this lane. Cheap, from any thread, harmless when there is none."""
        self._call(lambda: self._wake(lane))

    def put_off(self, lane: Lane) -> bool:
        """A bell was heard: whether it is for a lane that goes on by itself. Then it needn't ring again, each costs a
        message, until the lane is at its end and clears it."""
        runner = self._runners.get(lane)
        if self._stopping or runner is None or not runner.goes_on:
            return False
        runner.put_off = True
        return runner.goes_on  # at its end in between, it may have overlooked that; cleared twice does no harm

    def sweep(self) -> None:
        """Ask SQL now what is due."""
        self._call(self._sweep_now.set)

    def stop(self, deadline_seconds: float) -> None:
        """Claim nothing more, let what is under way finish, commit it; release the rest when the time is up."""
        self._deadline_seconds = deadline_seconds
        self._stopping = True
        self._call(self._sweep_now.set)
        if self._thread is not None:
            self._thread.join(deadline_seconds + 5)

    def _call(self, action: Callable[[], Any]) -> None:
        loop = self._loop
        if loop is not None and not loop.is_closed():
            try:
                # Its own context but for what the caller has bound for log lines: that would stay with the lane.
                context = copy_context()
                context.run(structlog.contextvars.clear_contextvars)
                loop.call_soon_threadsafe(action, context=context)
            except RuntimeError:
                log.debug("pump.closed")  # it closed in this very moment: whoever comes next sweeps

    # ------------------------------------------------------------ on the loop

    def _run_loop(self) -> None:
        with asyncio.Runner(loop_factory=new_loop) as runner:
            runner.run(self._main())

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._ready.set()
        async with AsyncExitStack() as stack:
            works = await self._open(stack)
            self._commits = {
                work.stage: Commits(
                    work, self._calls, partial(self._commit, work), partial(Slots.free, stage=work.stage)
                )
                for work in works
            }
            committers = [asyncio.create_task(commits.run()) for commits in self._commits.values()]
            self._works = works
            log.info("pump.started", stages=[work.stage.value for work in works])
            await self._sweep_until_stopped()
            await self._drain(committers)
        self._calls.close()
        log.info("pump.stopped")

    async def _open(self, stack: AsyncExitStack) -> Sequence[Work]:
        """Open what the stages need; while that fails (the database is away, a key is missing) say so and wait."""
        tries = 0
        while not self._stopping:
            try:
                return await self._open_works(stack)
            except Exception as error:  # noqa: BLE001 - a worker without a pump would look alive and do nothing
                await self._calls.rest(error, tries)
                tries += 1
        return ()

    async def _sweep_until_stopped(self) -> None:
        tries = 0
        while not self._stopping:
            self._sweep_now.clear()
            try:
                await self._sweep()
                tries = 0
            except Exception as error:  # noqa: BLE001 - whatever it is, the next second must be swept too
                await self._calls.rest(error, tries)
                tries += 1
                continue
            with suppress(TimeoutError):
                async with asyncio.timeout(SWEEP_SECONDS):
                    await self._sweep_now.wait()

    async def _sweep(self) -> None:
        lanes = await self._calls.run(lambda: [(work, lane) for work in self._works for lane in work.lanes()])
        for work, lane in lanes:
            if (work.stage, lane) not in self._runners:
                self._runners[work.stage, lane] = runner = Runner(work, lane)
                self._note_use(runner)
        await self._set_timers([(work.stage, lane) for work, lane in lanes])

    async def _set_timers(self, lanes: Sequence[Lane]) -> None:
        """Wake the lanes that have something due, now or at the very moment when it will be."""
        loop = asyncio.get_running_loop()
        for due in await self._calls.run(self._next_due, lanes):
            if due.in_seconds <= 0:
                self._wake((due.stage, due.lane))
            elif due.in_seconds <= LOOK_AHEAD_SECONDS:
                loop.call_later(due.in_seconds + TIMER_SECONDS, self._wake, (due.stage, due.lane))

    def _wake(self, lane: Lane) -> None:
        runner = self._runners.get(lane)
        if runner is None:  # an endpoint that was just added
            self._sweep_now.set()
        elif not self._stopping:
            runner.wake.set()
            if runner.task is None:
                runner.task = asyncio.create_task(self._run(runner))

    async def _run(self, runner: Runner) -> None:
        """A lane: claim what fits, start it, wait for a reason to claim again."""
        tries = 0
        while True:
            await runner.wake.wait()
            runner.wake.clear()
            if self._stopping:
                return
            try:
                if not await self._fill(runner):
                    await asyncio.sleep(runner.work.rest_seconds)
                tries = 0
            except UNAVAILABLE as error:
                runner.wake.set()
                await self._calls.rest(error, tries)
                tries += 1
            except Exception:
                runner.flowing = runner.behind = False
                log.exception("pump.lane_failed", stage=runner.work.stage.value, lane=runner.lane)
                await asyncio.sleep(SWEEP_SECONDS)

    async def _fill(self, runner: Runner) -> bool:
        """One claim: as many rows as there is room for, their I/O started at once; whether it got all of them."""
        work, lane, slots = runner.work, runner.lane, runner.work.slots(runner.lane)
        self._begin_ready(runner, slots)
        room = 0 if runner.held else self._room(runner, slots)
        if room <= 0:
            return True
        held = min(-(-room // work.group), max(0, slots.free_for(work)))
        with hold_slots(slots, work.stage, held):
            allowed, wait_seconds = (room, 0.0) if work.admit is None else await work.admit(lane, room)
            if allowed <= 0:
                runner.hold(wait_seconds)
                return True
            items = await self._calls.run(work.claim, lane, allowed)
            if work.refund is not None and len(items) < allowed:
                await work.refund(lane, allowed - len(items))
            if self._stopping:  # nothing of it was begun: as if nobody had claimed it
                await self._give_back([work.claim_of(item) for item in items])
                return True
            self._begin(runner, slots, items[: held * work.group])
        runner.ready += items[held * work.group :]
        self._begin_ready(runner, slots)
        if runner.ready:
            wait_in(slots.waiting, runner)
        was_behind, runner.behind = runner.behind, len(items) >= allowed
        if runner.behind:
            if not was_behind:  # a bell that it swallowed is one that others lack now
                await self._clear_put_off(runner)
            self._go_on(runner, allowed < room, wait_seconds)
        else:
            await self._come_to_rest(runner, slots, items)
        return runner.behind

    async def _come_to_rest(self, runner: Runner, slots: Slots, items: Sequence[Any]) -> None:
        """Nothing more is due: from now on the lane is woken by bells, timers and sweeps; one that flows by itself."""
        work, lane = runner.work, (runner.work.stage, runner.lane)
        runner.flowing = work.flows and bool(items)
        if runner.flowing:
            runner.wake.set()
        else:
            await self._clear_put_off(runner)
        if items and work.claim_of(items[0]).lost:  # perhaps taken alone: others may be due behind it
            wait_in(slots.waiting, runner)
        if work.timed:
            await self._set_timers([lane])

    def _go_on(self, runner: Runner, limited: bool, wait_seconds: float) -> None:
        """There may be more: for this process and for others, or only when the limit lets more through."""
        if limited and wait_seconds > 0:
            runner.hold(wait_seconds)
            return
        if runner.work.batch > 1:  # in a lane of one row others would find nothing
            self._ring_others((runner.work.stage, runner.lane))
        runner.wake.set()

    async def _clear_put_off(self, runner: Runner) -> None:
        if runner.put_off:
            runner.put_off = False
            await self._calls.run(self._clear_bell, (runner.work.stage, runner.lane))
            runner.wake.set()  # for what came before it was cleared

    def _room(self, runner: Runner, slots: Slots) -> int:
        """Rows this lane may claim now; where there is none, it is woken as soon as there is."""
        work, free = runner.work, slots.free_for(runner.work)
        room = min(max(free, 0) * work.group + runner.ahead(slots), work.batch)
        runner.waits = room <= 0
        if runner.waits:
            wait_in(slots.waiting, runner)
        elif self._commits[work.stage].hold_up(runner):
            return 0
        return room

    def _note_use(self, runner: Runner) -> None:
        """The lanes of a stage that were used last are the likeliest to be brought work by a commit."""
        recent = self._recent[runner.work.stage]
        recent[runner.lane] = runner
        recent.move_to_end(runner.lane)
        if len(recent) > RECENT_LANES:
            recent.popitem(last=False)

    def _begin(self, runner: Runner, slots: Slots, items: Sequence[Any]) -> None:
        """Start what was claimed, a task a group. Without I/O its commit is all there is to do."""
        work = runner.work
        if items:
            self._note_use(runner)
        start_group = self._perform if work.perform else self._commit_group
        for start in range(0, len(items), work.group):
            group = items[start : start + work.group]
            slots.take(work.stage, 1)
            task = asyncio.create_task(start_group(runner, group, slots))
            self._under_way[task] = [work.claim_of(item) for item in group] if work.repeatable else []
            task.add_done_callback(lambda done: self._under_way.pop(done, None))

    def _begin_ready(self, runner: Runner, slots: Slots) -> None:
        """What was claimed ahead takes the slots that have come free. At the end it is given back instead; of a lane
        that was closed all is begun, to be told so."""
        if not runner.ready or self._stopping:
            return
        if slots.limit > 0 and self._commits[runner.work.stage].hold_up(runner):
            return
        while runner.ready and (slots.free_for(runner.work) > 0 or slots.limit <= 0):
            self._begin(runner, slots, [runner.ready.popleft()])

    async def _perform(self, runner: Runner, items: Sequence[Any], slots: Slots) -> None:
        work, begun_at = runner.work, time.monotonic()
        results: Sequence[Any] = ()
        try:
            results = await work.perform(runner.lane, items) if work.perform else items
        except Exception:
            # A bug, not an outcome. The leases run out, the rows count their claims, and are parked if it stays so.
            log.exception("pump.work_failed", stage=work.stage.value, lane=runner.lane, items=len(items))
        finally:
            held = slots if work.hold_slot and results else None
            for result in results:
                self._commits[work.stage].add(result, held)
                held = None
            runner.note(begun_at)
            if not (work.hold_slot and results):
                slots.free(work.stage)
                self._begin_ready(runner, slots)
                if runner.ahead(slots):
                    runner.wake.set()

    async def _commit(self, work: Work, batch: Sequence[Any]) -> Sequence[Any] | None:
        """One transaction. What it brings for lanes of this process that have room is begun at once. Returns what it
        left."""
        fed = self._commits.get(work.feeds) if work.feeds else None
        takes = fed is not None and not (fed.is_late or self._stopping)
        runners = list(self._recent[work.feeds].values()) if takes and work.feeds else []
        with hold_places(runners, len(batch)) as places:
            if not places or work.commit_and_take is None:
                left: Sequence[Any] | None = await self._calls.run(work.commit, batch)
                return left
            limits = {lane: place.held for lane, place in places.items()}
            taken, left = await self._calls.run(work.commit_and_take, batch, limits)
            for lane, items in taken.items():
                place = places[lane]
                if self._stopping:
                    await self._give_back([place.runner.work.claim_of(item) for item in items])
                else:
                    self._begin(place.runner, place.slots, items)
                if len(items) == place.held < len(batch):  # there is more, and others may have room for it
                    self._ring_others((place.runner.work.stage, lane))
            return left

    async def _commit_group(self, runner: Runner, items: Sequence[Any], slots: Slots) -> None:
        stage = runner.work.stage
        try:
            await self._commits[stage].commit_group(items)
        finally:
            slots.free(stage)

    # ------------------------------------------------------------ the end

    async def _drain(self, committers: Sequence[asyncio.Task[None]]) -> None:
        """Let what is under way finish and be committed; cancel what does not, and give its rows back."""
        until = time.monotonic() + self._deadline_seconds
        runners = [runner.task for runner in self._runners.values() if runner.task is not None]
        for runner in self._runners.values():
            runner.wake.set()
        if runners:  # not cancelled: a claim that is under way must not leave leases behind that nobody acts on
            await asyncio.wait(runners, timeout=max(0.0, until - time.monotonic() - 1))
        ahead = [runner.work.claim_of(item) for runner in self._runners.values() for item in runner.ready]
        giving_back = [asyncio.create_task(self._give_back(ahead))] if ahead else []
        left = dict(self._under_way)
        if left:
            await asyncio.wait(left, timeout=max(0.0, until - time.monotonic() - 1))
        unfinished = {task: claims for task, claims in left.items() if not task.done()}
        for task in unfinished:
            task.cancel()
        commits = asyncio.gather(*giving_back, *(one.join() for one in self._commits.values()))
        await asyncio.wait([commits], timeout=max(1.0, until - time.monotonic()))
        if unfinished:  # a look-up or a delivery may be repeated by anybody; a create is in doubt: its lease says so
            claims = [claim for held in unfinished.values() for claim in held]
            log.warning("pump.cut_short", unfinished=len(unfinished), given_back=len(claims))
            await self._give_back(claims)
        for committer in committers:
            committer.cancel()

    async def _give_back(self, claims: Sequence[Claim]) -> None:
        """At the end, rows that may be begun again by anybody are due at once."""
        try:
            await self._calls.run(self._release, claims)
        except UNAVAILABLE as error:
            log.warning("store.unavailable", error=first_line(error), consequence="leases run out by themselves")
