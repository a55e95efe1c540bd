"""Results whose rows somebody else has locked: set aside, tried again, kept; they hold up no others."""

from __future__ import annotations

import asyncio
import dataclasses
import threading
import time

import pytest
from psycopg.errors import LockNotAvailable
from sqlalchemy.exc import OperationalError

from tests.unit.pump_cases import LANE, PATIENCE_SECONDS, Away, commits_of
from workers.engine import (
    Batching,
    Keeping,
    keeper,
    results,
    store_calls,
    uncommitted,
)
from workers.engine.lane import LaneState


def locked_out():
    return OperationalError("SELECT", {}, LockNotAvailable("canceling statement due to lock timeout"))


class Line:
    """Commits under way, with what is held up by whom."""

    def __init__(self, commit, **work):
        self.written: list[list[int]] = []
        self.committed: list[int] = []
        self.tries: list[list[int]] = []
        self.calls = store_calls.StoreCalls()
        self.commit = commit
        self.work = dataclasses.replace(
            Away().work(), commit=self._commit, batching=Batching(gather_seconds=0.0), **work
        )
        self.queue = commits_of(self.work, self.calls, self.written)
        self.runner = LaneState(self.work, LANE[1])

    def _commit(self, batch):
        self.tries.append(list(batch))
        left = self.commit(batch)
        self.committed.extend(result for result in batch if result not in left)
        return left

    async def __aenter__(self):
        self.task = asyncio.create_task(self.queue.run())
        return self

    async def __aexit__(self, *_):
        self.task.cancel()
        self.calls.close()

    async def until(self, condition):
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not condition():
            assert time.monotonic() < deadline, "never happened"
            await asyncio.sleep(0.01)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(results, "ASIDE_SECONDS", (0.0, 0.01, 0.02))


def test_results_that_a_commit_left_are_tried_again_by_themselves_and_hold_up_no_others():
    locked = {3, 5}

    async def run():
        async with Line(lambda batch: [result for result in batch if result in locked]) as line:
            for result in range(8):
                line.queue.add(result)
            await line.until(lambda: len(line.committed) == 6)
            await line.until(lambda: line.tries.count([3, 5]) > 10)
            line.queue.add(8)
            await line.until(lambda: 8 in line.committed)
            assert not line.queue.hold_up(line.runner)
            locked.clear()
            await line.queue.join()
            return line

    line = asyncio.run(run())
    assert line.committed == [0, 1, 2, 4, 6, 7, 8, 3, 5]
    assert line.written == [list(range(8)), [8]]  # nothing is held ready for what waits for a lock


def test_a_batch_that_is_locked_out_as_a_whole_goes_aside_and_is_halved_until_what_makes_it_so_is_alone():
    locked = {3, 5}

    def commit(batch):
        if locked & set(batch):
            raise locked_out()
        return []

    async def run():
        async with Line(commit) as line:
            for result in range(8):
                line.queue.add(result)
            await line.until(lambda: len(line.committed) == 6)
            line.queue.add(8)
            await line.until(lambda: 8 in line.committed)
            locked.clear()
            await line.queue.join()
            return line

    line = asyncio.run(run())
    assert sorted(line.committed[:7]) == [0, 1, 2, 4, 6, 7, 8]
    assert sorted(line.committed[7:]) == [3, 5]
    assert line.written == [list(range(8)), [8]]


def test_a_stage_of_which_nothing_can_be_written_claims_nothing_more_until_it_can():
    locked = [True]

    def commit(_):
        if locked[0]:
            raise locked_out()
        return []

    async def run():
        async with Line(commit) as line:
            for result in range(results.BARRED_LIMIT + 1):
                line.queue.add(result)
            await line.until(lambda: line.queue.hold_up(line.runner) and line.queue.results.aside.barred)
            locked[0] = False
            await line.queue.join()
            await asyncio.wait_for(line.runner.wake.wait(), PATIENCE_SECONDS)
            assert not line.queue.hold_up(line.runner)

    asyncio.run(run())


def test_what_waits_for_long_is_kept_and_its_lease_goes_on_and_what_was_committed_meanwhile_is_forgotten(monkeypatch):
    monkeypatch.setattr(keeper, "KEEP_AFTER_SECONDS", 0.0)
    monkeypatch.setattr(keeper, "KEEP_TICK_SECONDS", 0.01)
    monkeypatch.setattr(keeper, "KEPT_LEASE_SECONDS", 0.06)
    locked, slow = {1}, threading.Event()
    kept: list[list[int]] = []
    forgotten: list[int] = []

    def keep(batch, seconds):
        kept.append(list(batch))
        assert seconds == 0.06
        if len(kept) > 3:
            locked.clear()
            assert slow.wait(PATIENCE_SECONDS)

    async def run():
        commit = lambda batch: [result for result in batch if result in locked]  # noqa: E731
        async with Line(commit, keeping=Keeping(keep, forgotten.extend), repeatable=False) as line:
            line.queue.add(1)
            await line.until(lambda: 1 in line.committed)
            slow.set()
            await line.until(lambda: forgotten)

    asyncio.run(run())
    assert kept[:3] == [[1]] * 3
    assert forgotten == [1]


@pytest.mark.parametrize("repeatable", [True, False])
def test_of_what_waits_for_locks_only_so_much_stays_in_memory_and_nothing_that_only_memory_has_goes(
    monkeypatch, repeatable
):
    monkeypatch.setattr(results, "ASIDE_LIMIT", 10)
    monkeypatch.setattr(results, "ASIDE_SECONDS", (60.0,))  # what is tried again just now is not counted
    monkeypatch.setattr(uncommitted, "UNCOMMITTED_LIMIT", 12)

    async def run():
        async with Line(list, repeatable=repeatable) as line:
            for result in range(30):
                line.queue.add(result)
                await line.until(lambda: not line.queue.results.queue)
            await line.until(lambda: not line.queue.results.in_line)
            return len(line.queue.results.all), line.queue.hold_up(line.runner)

    assert asyncio.run(run()) == ((10, False) if repeatable else (30, True))
