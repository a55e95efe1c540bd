"""Claim: a lane's loop. It claims as many due rows as it has free slots, and again when there is a reason to."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Generic

from workers.engine.commits import Commits
from workers.engine.lane import Backlog, LaneState, Phase
from workers.engine.observer import Failure, Step, Trouble
from workers.engine.performing import Performing
from workers.engine.shared import Shared
from workers.engine.slots import Slots
from workers.engine.store_calls import back_off
from workers.engine.timers import Timers
from workers.engine.work import Item, Outcome, Work, rest_after
from workers.store.database import UNAVAILABLE

FAILED_SECONDS = 1.0  #: how long a lane rests after a bug


class Claiming(Generic[Item, Outcome]):
    """The claims of one stage."""

    def __init__(
        self,
        shared: Shared,
        work: Work[Item, Outcome],
        commits: Commits[Outcome],
        performing: Performing[Item, Outcome],
        timers: Timers,
    ) -> None:
        self._shared = shared
        self._work = work
        self._commits = commits
        self._performing = performing
        self._timers = timers

    async def run(self, lane: LaneState[Item, Outcome]) -> None:
        """Claim what fits, start it, wait for a reason to claim again."""
        tries = 0
        while True:
            await lane.wake.wait()
            lane.wake.clear()
            if self._shared.stopping:
                lane.enter(Phase.DRAINING)
                return
            begun_at = time.monotonic()
            try:
                if not await self._claim(lane):
                    await asyncio.sleep(rest_after(time.monotonic() - begun_at, self._work.pace.rest_seconds))
                tries = 0
            except UNAVAILABLE as error:
                lane.wake_up()
                await back_off(self._shared.observer, error, tries)
                tries += 1
            except Exception as error:  # noqa: BLE001 - told
                lane.backlog = Backlog.NOTHING
                self._shared.observer.failed(Failure(Trouble.LANE_FAILED, self._work.stage, error, {"lane": lane.name}))
                await asyncio.sleep(FAILED_SECONDS)

    async def _claim(self, lane: LaneState[Item, Outcome]) -> bool:
        """Whether the lane may go on at once: it rests only after a claim that found fewer rows than it asked for."""
        slots = lane.slots = self._work.slots(lane.name)
        self._performing.begin_ready(lane, slots)
        room = self._room(lane, slots)
        if room <= 0:
            return True
        lane.enter(Phase.CLAIMING)
        try:
            return await self._claim_rows(lane, slots, room)
        finally:
            if lane.phase is Phase.CLAIMING:
                lane.enter(Phase.IDLE)

    def _room(self, lane: LaneState[Item, Outcome], slots: Slots) -> int:
        """Rows this lane may claim now. Where there is no room, the lane is woken as soon as there is."""
        if lane.phase is Phase.THROTTLED:
            return 0
        batching = self._work.batching
        room = min(max(lane.free(slots), 0) * batching.group + lane.ahead(slots), batching.claim)
        if room <= 0:
            lane.enter(Phase.FULL)
            slots.waiting.add(lane)
        elif self._commits.hold_up(lane):
            lane.enter(Phase.LATE)
            return 0
        return room

    async def _claim_rows(self, lane: LaneState[Item, Outcome], slots: Slots, room: int) -> bool:
        """One claim. Its slots are held from before the limit is asked until the I/O has begun."""
        work, admission = self._work, self._work.admission
        held = min(-(-room // work.batching.group), max(0, lane.free(slots)))
        with slots.hold(work.stage, held):
            allowed, wait_seconds = (room, 0.0) if admission is None else await admission.admit(lane.name, room)
            if allowed <= 0:
                self._throttle(lane, wait_seconds)
                return True
            begun_at = time.monotonic()
            items = await self._shared.calls.run(work.claim, lane.name, allowed)
            self._shared.observer.claimed(work.stage, lane.name, allowed, len(items))
            if items:
                seconds = time.monotonic() - begun_at
                self._shared.observer.handled(Step.CLAIM, work.stage, lane.name, items, seconds)
            if admission is not None and len(items) < allowed:
                await admission.refund(lane.name, allowed - len(items))
            if self._shared.stopping:  # nothing of it was begun: as if nobody had claimed it
                await self._shared.give_back([work.claim_of(item) for item in items])
                return True
            self._performing.begin(lane, slots, items[: held * work.batching.group])
        self._performing.add_ready(lane, slots, items[held * work.batching.group :])
        if len(items) < allowed:
            await self._come_to_rest(lane, slots, items)
            return False
        await self._go_on(lane, wait_seconds, limited=allowed < room)
        return True

    async def _come_to_rest(self, lane: LaneState[Item, Outcome], slots: Slots, items: Sequence[Item]) -> None:
        """Nothing more is due: the lane waits to be woken, unless it flows and wakes itself."""
        flows = self._work.pace.flows and bool(items)
        lane.backlog = Backlog.FLOWING if flows else Backlog.NOTHING
        if flows:
            lane.wake_up()
        else:
            await self._clear_wake_up(lane)
        if items and self._work.claim_of(items[0]).lost:  # it may have been claimed alone: others may be due behind it
            slots.waiting.add(lane)
        if self._work.pace.timed:
            await self._timers.set([lane.lane])

    async def _go_on(self, lane: LaneState[Item, Outcome], wait_seconds: float, *, limited: bool) -> None:
        """There may be more: for this process and for others, or only when the limit lets more through."""
        was_more, lane.backlog = lane.backlog is Backlog.MORE, Backlog.MORE
        if not was_more:  # other processes may need the doorbell that was left pending here
            await self._clear_wake_up(lane)
        if limited and wait_seconds > 0:
            self._throttle(lane, wait_seconds)
            return
        if self._work.batching.claim > 1:  # a lane of one row has nothing for others
            self._shared.ring_others(lane.lane)
        lane.wake_up()

    def _throttle(self, lane: LaneState[Item, Outcome], seconds: float) -> None:
        lane.throttle(seconds)
        self._shared.observer.throttled(self._work.stage, lane.name, seconds)

    async def _clear_wake_up(self, lane: LaneState[Item, Outcome]) -> None:
        if lane.wake_up_pending:
            lane.wake_up_pending = False
            await self._shared.calls.run(self._shared.clear_doorbell, lane.lane)
            lane.wake_up()  # for what came in before it was cleared
