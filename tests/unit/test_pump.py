from __future__ import annotations

import asyncio
import threading
import time
from datetime import UTC, datetime
from typing import Any

import pytest
from psycopg.errors import QueryCanceled
from sqlalchemy.exc import OperationalError

from domain.decision import Stage
from workers.engine import Admission, EngineLog, Pace, Pump, Slots, Work, commits, store_calls
from workers.store.agenda import Claim, Due

LANE = (Stage.CREATE, "busy")
WAIT_SECONDS = 0.5  #: until there is a token again
PATIENCE_SECONDS = 60


class Limited:
    """A lane whose rate lets nothing through, until it is told to."""

    def __init__(self, shared_limit=False):
        self.asked, self.claimed, self.open = 0, threading.Event(), False
        self.first_asked = threading.Event()
        self.shared_limit = shared_limit

    async def admit(self, lane, asked):
        self.asked += 1
        self.first_asked.set()
        return (asked, 0.0) if self.open else (0, WAIT_SECONDS)

    async def refund(self, lane, unused):
        """Its tokens are not counted."""

    def claim(self, lane, limit):
        self.claimed.set()
        return []

    def work(self):
        return Work(
            stage=Stage.CREATE,
            lanes=lambda: [LANE[1]],
            slots=lambda _: Slots(5),
            claim=self.claim,
            claim_of=lambda item: Claim(*LANE, item, "t", False, datetime.now(UTC)),
            commit=lambda _: None,
            admission=Admission(self.admit, self.refund, is_shared=self.shared_limit),
        )


def test_a_lane_at_its_rate_asks_once_however_often_it_is_woken_and_goes_on_when_its_wait_is_over():
    limited = Limited()

    async def open_works(_):
        return [limited.work()]

    pump = Pump(open_works, lambda _: [], lambda _: None, lambda _: None)
    pump.start()
    begun = time.monotonic()
    try:
        while not limited.first_asked.wait(0.01):  # it knows its lanes from its first sweep on
            pump.wake(LANE)
        for _ in range(50):
            pump.wake(LANE)
            time.sleep(0.002)  # a wake of its own: several at once are one anyway
        assert limited.asked <= 1 + (time.monotonic() - begun) / WAIT_SECONDS
        limited.open = True
        assert limited.claimed.wait(PATIENCE_SECONDS)
    finally:
        pump.stop(1)


class Granted(Limited):
    """One call of all that are asked for; three rows are due."""

    def __init__(self):
        super().__init__(shared_limit=True)
        self.left, self.asked_for = list("abc"), []

    async def admit(self, lane, asked):
        self.asked += 1
        return 1, 0.01

    def claim(self, lane, limit):
        found, self.left = self.left[:limit], self.left[limit:]
        self.asked_for.append(self.asked)
        if not found:
            self.claimed.set()
        return found


@pytest.mark.parametrize("shared", [True, False])
def test_the_doorbell_of_a_lane_at_its_rate_is_left_pending_where_no_other_process_could_use_it(shared):
    limited = Limited(shared)
    steps: list[Any] = []

    async def open_works(_):
        return [limited.work()]

    pump = Pump(open_works, lambda _: [], lambda _: None, lambda _: None, steps.append)
    pump.start()
    try:
        assert not pump.leave_pending((Stage.CREATE, "nobody"))
        while not limited.first_asked.wait(0.01):
            assert not pump.leave_pending(LANE)  # it has not asked yet
            pump.wake(LANE)
        until = time.monotonic() + PATIENCE_SECONDS
        while shared and not pump.leave_pending(LANE):
            assert time.monotonic() < until
        assert pump.leave_pending(LANE) == shared
        assert steps == []
        limited.open = True
        assert limited.claimed.wait(PATIENCE_SECONDS)
        limited.claimed.clear()
        if shared:  # cleared, and then it looks once more for what came in between
            assert limited.claimed.wait(PATIENCE_SECONDS)
        assert steps == [LANE] * shared
    finally:
        pump.stop(1)


def test_a_lane_that_gets_less_than_it_asked_for_waits_for_its_next_token_without_telling_others():
    granted = Granted()
    rung: list[Any] = []

    async def open_works(_):
        return [granted.work()]

    pump = Pump(open_works, lambda _: [Due(*LANE, -1.0)], lambda _: None, rung.append)
    pump.start()
    try:
        assert granted.claimed.wait(PATIENCE_SECONDS)
        assert granted.asked_for[:4] == [1, 2, 3, 4]  # a token for each row, and one to find nothing more
        assert rung == []
    finally:
        pump.stop(1)


def test_what_is_taken_alone_is_followed_by_the_next_as_soon_as_it_is_done():
    """A row a sweep would be a row a second, for the whole lane, after workers were killed again and again."""
    left, slots = list("abcde"), Slots(50)
    dues = [[Due(*LANE, -1.0)]]  # the first sweep's; no later one wakes the lane

    async def perform(_lane, items):
        return items

    async def open_works(_):
        return [
            Work(
                stage=Stage.CREATE,
                lanes=lambda: [LANE[1]],
                slots=lambda _: slots,
                claim=lambda *_: [left.pop()] if left else [],
                claim_of=lambda item: Claim(*LANE, item, "t", True, datetime.now(UTC)),
                commit=lambda _: None,
                perform=perform,
            )
        ]

    pump = Pump(open_works, lambda _: dues.pop() if dues else [], lambda _: None, lambda _: None)
    pump.start()
    try:
        until = time.monotonic() + PATIENCE_SECONDS
        while left:
            assert time.monotonic() < until
            time.sleep(0.01)
    finally:
        pump.stop(1)


def test_what_falls_due_soon_after_a_claim_is_claimed_together():
    """The clock's lane is woken at every row's own moment: a claim each would cost more than what they bring."""
    due, claimed, looked, slots = ["a"], [], threading.Semaphore(0), Slots(5)

    def claim(_lane, _limit):
        claimed.append(due[:])
        due.clear()
        looked.release()
        return claimed[-1]

    async def open_works(_):
        return [
            Work(
                stage=Stage.CLOCK,
                lanes=lambda: [LANE[1]],
                slots=lambda _: slots,
                claim=claim,
                claim_of=lambda item: Claim(Stage.CLOCK, LANE[1], item, "t", False, datetime.now(UTC)),
                commit=lambda _: None,
                pace=Pace(timed=True, rest_seconds=0.5),
            )
        ]

    dues = [[Due(Stage.CLOCK, LANE[1], -1.0)]]
    pump = Pump(open_works, lambda _: dues.pop() if dues else [], lambda _: None, lambda _: None)
    pump.start()
    try:
        assert looked.acquire(timeout=PATIENCE_SECONDS)
        for row in "bcd":
            due.append(row)
            pump.wake((Stage.CLOCK, LANE[1]))
            time.sleep(0.01)
        assert looked.acquire(timeout=PATIENCE_SECONDS)
    finally:
        pump.stop(1)
    assert claimed[:2] == [["a"], ["b", "c", "d"]]


def plain_commits(work, calls):
    """What commits a stage's results, and nothing else."""

    async def write(batch):
        return await calls.run(work.commit, batch)

    return commits.Commits(work, calls, write, lambda _: None, EngineLog())


@pytest.mark.parametrize("poison", [[], [5], [0, 7]])
def test_a_batch_that_always_takes_too_long_is_halved_until_what_makes_it_so_is_alone(poison, monkeypatch):
    monkeypatch.setattr(store_calls, "BACK_OFF_SECONDS", (0.0,))
    committed, tries = [], []

    def commit(batch):
        tries.append(list(batch))
        if set(poison) & set(batch):
            raise OperationalError("UPDATE", {}, QueryCanceled("canceling statement due to statement timeout"))
        committed.extend(batch)

    async def run():
        calls = store_calls.StoreCalls()
        work = Work(Stage.CREATE, list, lambda _: Slots(1), lambda *_: [], lambda item: item, commit)
        await plain_commits(work, calls).commit_group(list(range(8)))
        calls.close()

    asyncio.run(run())
    assert committed == [number for number in range(8) if number not in poison]
    for number in poison:
        assert tries.count([number]) == commits.TIME_OUTS
    assert len(tries) <= 1 + len(poison) * (6 + commits.TIME_OUTS)


def test_what_a_create_brought_is_kept_however_long_the_database_takes_and_goes_behind_the_others(monkeypatch):
    """The call can't be made again: given up, its answer would be a doubt, and perhaps a second bill."""
    monkeypatch.setattr(store_calls, "BACK_OFF_SECONDS", (0.0,))
    committed, tries = [], []

    def commit(batch):
        tries.extend(batch)
        if "locked" in batch and tries.count("locked") <= 2 * commits.TIME_OUTS:
            raise OperationalError("UPDATE", {}, QueryCanceled("canceling statement due to statement timeout"))
        committed.extend(batch)

    async def run():
        calls = store_calls.StoreCalls()
        work = Work(Stage.CREATE, list, lambda _: Slots(1), lambda *_: [], lambda item: item, commit, repeatable=False)
        queue = plain_commits(work, calls)
        runner = asyncio.create_task(queue.run())
        for result in ("locked", "next"):
            queue.add(result)
        await queue.join()
        runner.cancel()
        calls.close()

    asyncio.run(run())
    assert committed == ["next", "locked"]
