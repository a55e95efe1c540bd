"""One stage at work: claim -> perform -> commit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Generic

from domain.decision import Stage
from workers.engine.claiming import Claiming
from workers.engine.commits import Commits
from workers.engine.performing import Performing
from workers.engine.reservations import Reservation, look_at_limits, reserve
from workers.engine.shared import Shared
from workers.engine.slots import Slots
from workers.engine.timers import Timers
from workers.engine.work import Item, Outcome, Work


class Pipeline(Generic[Item, Outcome]):
    """Claims, performs and commits the work of one stage."""

    def __init__(
        self,
        shared: Shared,
        work: Work[Item, Outcome],
        timers: Timers,
        pipelines: Mapping[Stage, Pipeline[Any, Any]],
    ) -> None:
        """``pipelines``: all of this engine's, by stage; filled in later."""
        self.work = work
        self.commits = Commits(work, shared.calls, self._commit, partial(Slots.free, stage=work.stage), shared.observer)
        self.performing = Performing(shared, work, self.commits)
        self.claiming = Claiming(shared, work, self.commits, self.performing, timers)
        self._shared = shared
        self._pipelines = pipelines

    async def _commit(self, batch: Sequence[Outcome]) -> Sequence[Outcome] | None:
        """One transaction. Returns what it left because somebody else has it locked."""
        feeding = self.work.feeding
        fed = self._pipelines.get(feeding.stage) if feeding else None
        if feeding is None or fed is None or fed.commits.is_late or self._shared.stopping:
            return await self._shared.calls.run(self.work.commit, batch)
        lanes = fed.performing.recent
        await look_at_limits(lanes)
        with reserve(lanes, len(batch)) as reserved:
            if not reserved:
                return await self._shared.calls.run(self.work.commit, batch)
            counts = {lane: one.count for lane, one in reserved.items()}
            leased, left = await self._shared.calls.run(feeding.commit, batch, counts)
            for lane, items in leased.items():
                await fed.begin_reserved(reserved[lane], items, len(batch))
            return left

    async def begin_reserved(self, reservation: Reservation, items: Sequence[Item], wanted: int) -> None:
        """Start rows that another stage's commit leased for reserved slots. ``wanted``: how many it had use for."""
        lane = reservation.lane
        if self._shared.stopping:
            await self._shared.give_back([self.work.claim_of(item) for item in items])
        else:
            self.performing.begin(lane, reservation.slots, items[: reservation.held])
            self.performing.add_ready(lane, reservation.slots, items[reservation.held :])
        if len(items) == reservation.count < wanted:  # there is more, and other processes may have room for it
            self._shared.ring_others(lane.lane)
