"""Perform: a task for each group of claimed rows; what it brings goes to the commits."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Sequence
from typing import Generic, cast

from workers.engine.commits import Commits
from workers.engine.lane import LaneState
from workers.engine.observer import Failure, Step, Trouble
from workers.engine.shared import Shared
from workers.engine.slots import Slots
from workers.engine.work import Item, Outcome, Work

RECENT_LANES = 200  #: a commit looks for free slots in this many lanes of the stage it feeds, not in thousands


class Performing(Generic[Item, Outcome]):
    """The I/O of one stage."""

    def __init__(self, shared: Shared, work: Work[Item, Outcome], commits: Commits[Outcome]) -> None:
        self._shared = shared
        self._work = work
        self._commits = commits
        self._recent: OrderedDict[str, LaneState[Item, Outcome]] = OrderedDict()

    @property
    def recent(self) -> list[LaneState[Item, Outcome]]:
        """The lanes that were used last: the likeliest to get work from a commit."""
        return list(self._recent.values())

    def note_use(self, lane: LaneState[Item, Outcome]) -> None:
        """It was used just now."""
        self._recent[lane.name] = lane
        self._recent.move_to_end(lane.name)
        if len(self._recent) > RECENT_LANES:
            self._recent.popitem(last=False)

    def begin(self, lane: LaneState[Item, Outcome], slots: Slots, items: Sequence[Item]) -> None:
        """Start what was claimed, one task per group. Without I/O all there is to do is the commit."""
        work, under_way, loop = self._work, self._shared.under_way, asyncio.get_running_loop()
        if items:
            lane.slots = slots
            self.note_use(lane)
        start_group = self._perform if work.perform else self._commit_group
        for start in range(0, len(items), work.batching.group):
            group = items[start : start + work.batching.group]
            slots.take(work.stage, 1)
            task = loop.create_task(start_group(lane, group, slots))
            under_way[task] = (work, group)
            task.add_done_callback(under_way.pop)

    def add_ready(self, lane: LaneState[Item, Outcome], slots: Slots, items: Sequence[Item]) -> None:
        """Rows that were leased ahead: they begin as slots come free."""
        lane.ready += items
        self.begin_ready(lane, slots)
        if lane.ready:
            slots.waiting.add(lane)

    def begin_ready(self, lane: LaneState[Item, Outcome], slots: Slots) -> None:
        """Start what was claimed ahead, as far as slots have come free.

        While the engine stops, it is given back instead. In a lane that was closed (its limit is 0) all of it is
        started: performing it finds that out.
        """
        if not lane.ready or self._shared.stopping:
            return
        if slots.limit > 0 and self._commits.hold_up(lane):
            return
        while lane.ready and (lane.free(slots) > 0 or slots.limit <= 0):
            self.begin(lane, slots, [lane.ready.popleft()])

    async def _perform(self, lane: LaneState[Item, Outcome], items: Sequence[Item], slots: Slots) -> None:
        begun_at = time.monotonic()
        results: Sequence[Outcome] = ()
        try:
            if self._work.perform is not None:
                results = await self._work.perform(lane.name, items)
        except Exception as error:  # noqa: BLE001 - told
            # A bug, not an outcome. The leases run out; rows that are claimed too often in vain are parked.
            fields = {"lane": lane.name, "items": len(items)}
            self._shared.observer.failed(Failure(Trouble.WORK_FAILED, self._work.stage, error, fields))
        finally:
            self._end(lane, slots, results, begun_at)
            seconds = time.monotonic() - begun_at
            self._shared.observer.performed(self._work.stage, lane.name, len(items), seconds)
            self._shared.observer.handled(Step.PERFORM, self._work.stage, lane.name, items, seconds)

    def _end(self, lane: LaneState[Item, Outcome], slots: Slots, results: Sequence[Outcome], begun_at: float) -> None:
        """Hand the results over, and use the slot for what is ready; some stages hold it until the commit."""
        held = slots if results and self._work.slot_use.until_committed else None
        first = held
        for result in results:
            self._commits.add(result, first)
            first = None
        lane.note_call(begun_at)
        if held is None:
            slots.free(self._work.stage)
            self.begin_ready(lane, slots)
            if lane.ahead(slots):
                lane.wake_up()

    async def _commit_group(self, lane: LaneState[Item, Outcome], items: Sequence[Item], slots: Slots) -> None:
        try:
            await self._commits.commit_group(cast("Sequence[Outcome]", items))  # without I/O they are the same
        finally:
            slots.free(self._work.stage)
