"""Reservations: slots that are held while a commit of another stage may bring work for them.

A change makes webhooks due, mostly at once. The process that commits the change leases them in the same transaction, as
far as it has slots free, and starts them right after it: no doorbell, no claim. If it dies in between, the leases run
out, as after a claim.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from workers.engine.lane import AnyLane
from workers.engine.slots import Slots

LOOKED_AT = 8  #: lanes whose limits are looked at before a commit; of many, most get nothing of it


@dataclass(frozen=True, slots=True)
class Reservation:
    """Some slots of one lane, and how many rows more it may be given ahead (``ReadAhead``). Used on the loop only."""

    lane: AnyLane
    slots: Slots
    held: int
    ahead: int

    @property
    def count(self) -> int:
        """The rows that may be leased for it."""
        return self.held + self.ahead


async def look_at_limits(lanes: Sequence[AnyLane]) -> None:
    """Look at the limits that this process has had no news of lately, for the few lanes that were used last.

    Otherwise the first commit after a pause would leave its rows to a doorbell and a claim, since a claim asks the
    limit.
    """
    looks = [
        admission.look(lane.name)
        for lane in lanes[-LOOKED_AT:]
        if lane.takes_new_rows
        and (admission := lane.work.admission) is not None
        and admission.look is not None
        and not _passes(lane)
    ]
    if looks:
        await asyncio.gather(*looks)


@contextmanager
def reserve(lanes: Iterable[AnyLane], wanted: int) -> Iterator[Mapping[str, Reservation]]:
    """Hold up to ``wanted`` slots of each lane that may start new rows.

    No more than half of its free slots (of one, that one): the commit may take long, and bring nothing. Where calls are
    quick, rows beyond those are leased too, as many as a claim would take ahead.
    """
    reserved: dict[str, Reservation] = {}
    with ExitStack() as held:
        for lane in lanes:
            slots = lane.work.slots(lane.name)
            count = min(wanted, (lane.free(slots) + 1) // 2)
            if count > 0 and lane.takes_new_rows and _passes(lane):
                held.enter_context(slots.hold(lane.work.stage, count))
                reserved[lane.name] = Reservation(lane, slots, count, min(wanted - count, lane.most_ahead(slots)))
        yield reserved


def _passes(lane: AnyLane) -> bool:
    """Whether its limit would let all through, as far as this process knows."""
    admission = lane.work.admission
    return admission is None or admission.passes is None or admission.passes(lane.name)
