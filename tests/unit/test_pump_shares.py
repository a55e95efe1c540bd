"""Who gets the next free slot: nobody is always first, however much the others have to do."""

from __future__ import annotations

import asyncio
import functools
import time
from datetime import UTC, datetime

import pytest

from domain.decision import Stage
from tests.servers import wait_until
from workers.engine import Batching, Feeding, Pace, Pump, Slots, SlotUse, Work
from workers.store.agenda import Claim, Due

PATIENCE_SECONDS = 60
TURNS = 30


def more_than(found, count):
    return len(found) > count


def claim_all(_lane, limit):
    time.sleep(0.004)
    return list(range(limit))


class Backlog:
    """Lanes that always have more to do. Counts the calls of each stage, and the most that were under way at once."""

    def __init__(self):
        self.calls = {Stage.CREATE: 0, Stage.CHECK: 0, Stage.DELIVER: 0}
        self.under_way = self.most = 0

    async def perform(self, stage, items):
        self.calls[stage] += 1
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        await asyncio.sleep(0.005)
        self.under_way -= 1
        return items

    def work(self, stage, slots, **options):
        async def perform(_lane, items):
            return await self.perform(stage, items)

        return Work(
            stage=stage,
            lanes=lambda: ["one"],
            slots=lambda _: slots,
            claim=options.pop("claim", claim_all),
            claim_of=lambda item: Claim(stage, "one", str(item), "t", False, datetime.now(UTC)),
            commit=options.pop("commit", lambda _: None),
            perform=perform,
            **options,
        )


@pytest.fixture
def run():
    """Runs the pump of these stages, all of them woken once."""
    pumps = []

    def start(*works):
        async def open_works(_):
            return works

        lanes = [(work.stage, "one") for work in works]
        pump = Pump(open_works, lambda _: [Due(*lane, -1.0) for lane in lanes], lambda _: None, lambda _: None)
        pumps.append(pump)
        pump.start()
        return pump

    yield start
    for pump in pumps:
        pump.stop(2)


@pytest.mark.parametrize("limit", [1, 2, 10])
def test_orders_and_look_ups_of_an_account_take_turns_however_many_of_both_wait(run, limit):
    backlog, slots = Backlog(), Slots(limit)
    create = backlog.work(Stage.CREATE, slots, pace=Pace(flows=True), slot_use=SlotUse(spare=1))
    check = backlog.work(Stage.CHECK, slots, batching=Batching(group=100), slot_use=SlotUse(spare=1))
    pump = run(create, check)

    def turns():
        pump.wake((Stage.CREATE, "one"))  # each commit of the intake rings for new orders
        return min(backlog.calls[Stage.CREATE], backlog.calls[Stage.CHECK])

    wait_until(lambda: turns() > TURNS, "both have had their turns", PATIENCE_SECONDS)
    assert backlog.most <= limit


def test_what_is_due_at_an_endpoint_with_one_slot_is_claimed_while_commits_come_one_after_the_other(run):
    """Each of them would hold the slot for what it may bring, and brings nothing."""
    backlog, committed, found = Backlog(), [], []

    def commit_and_take(batch, reserved):
        committed.append(reserved)
        time.sleep(0.02)
        return {}, []

    def claim(_lane, limit):
        found.append(limit)
        return []

    create = backlog.work(
        Stage.CREATE,
        Slots(1000),
        pace=Pace(flows=True),
        commit=lambda batch: commit_and_take(batch, {})[1],
        feeding=Feeding(Stage.DELIVER, commit_and_take),
    )
    pump = run(create, backlog.work(Stage.DELIVER, Slots(1), claim=claim))
    wait_until(lambda: len(committed) > TURNS, "commits come one after the other", PATIENCE_SECONDS)
    for _ in range(10):
        claims = len(found)
        pump.wake((Stage.DELIVER, "one"))
        wait_until(functools.partial(more_than, found, claims), "it is claimed", PATIENCE_SECONDS)
    assert {"one": 1} in committed
