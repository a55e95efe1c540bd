"""How many slots a commit holds for the rows that it may bring, and how many rows it may take ahead."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

from domain.decision import Stage
from workers.engine import ReadAhead, Slots, Work
from workers.engine.lane import Backlog, LaneState, Phase
from workers.engine.reservations import reserve
from workers.store.agenda import Claim

PATIENCE_SECONDS = 60
QUICK = ReadAhead(quick_seconds=60.0)


def claim_of(item):
    return Claim(Stage.DELIVER, "ep", item, "t", False, datetime.now(UTC))


def held(lanes, wanted=10):
    with reserve(lanes, wanted) as reserved:
        return {lane: one.count for lane, one in reserved.items()}


def lane_of(slots, lane="ep", read_ahead=None, **state):
    work: Work[str, str] = Work(
        Stage.DELIVER, list, lambda _: slots, lambda *_: [], claim_of, lambda _: None, read_ahead=read_ahead
    )
    return LaneState(work, lane, **state)


def test_only_free_slots_of_lanes_that_are_not_behind_and_not_throttled_are_reserved():
    lanes = [
        lane_of(Slots(5, used=2), "some"),
        lane_of(Slots(50), "many"),
        lane_of(Slots(5, used=5), "full"),
        lane_of(Slots(0), "disabled"),
        lane_of(Slots(5), "behind", backlog=Backlog.MORE),
        lane_of(Slots(5), "limited", phase=Phase.THROTTLED),
        lane_of(Slots(5), "waits", phase=Phase.FULL),
    ]
    assert held(lanes) == {"some": 2, "many": 10}


def test_rows_ahead_are_reserved_only_where_calls_are_quick_and_as_many_as_there_are_slots():
    quick = lane_of(Slots(4), "quick", read_ahead=QUICK, is_quick=True)
    slow = lane_of(Slots(4), "slow", read_ahead=QUICK)
    neither = lane_of(Slots(4), "neither", is_quick=True)
    assert held([quick, slow, neither]) == {"quick": 2 + 4, "slow": 2, "neither": 2}
    assert held([quick], wanted=3) == {"quick": 3}
    assert held([lane_of(Slots(4, used=4), read_ahead=QUICK, is_quick=True)]) == {}


def test_reserved_slots_are_in_use_until_they_are_given_back():
    slots = Slots(8, used=1)
    waiting = lane_of(slots)

    async def hold():
        with reserve([lane_of(slots)], 3):
            assert slots.used == 4
            slots.waiting.add(waiting)
        assert slots.used == 1
        await asyncio.wait_for(waiting.wake.wait(), PATIENCE_SECONDS)

    asyncio.run(hold())
