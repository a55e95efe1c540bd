"""Results that the database does not take: yet, or ever."""

from __future__ import annotations

import asyncio
import dataclasses
import threading
import time
from datetime import UTC, datetime

import pytest
import structlog
from psycopg.errors import LockNotAvailable
from sqlalchemy.exc import IntegrityError, OperationalError
from structlog.testing import capture_logs

from domain.decision import Stage
from workers.engine import (
    Batching,
    EngineLog,
    Keeping,
    Pump,
    Slots,
    Work,
    commits,
    keeper,
    results,
    store_calls,
    uncommitted,
)
from workers.engine.lane import LaneState
from workers.store.agenda import Claim, Due

LANE = (Stage.CREATE, "account")
PATIENCE_SECONDS = 20
TRIES = 7  #: the back-off's waits are over two seconds by then


class Away:
    """A database that takes the first result only at the last of several tries; its row can be claimed again then."""

    def __init__(self):
        self.tries, self.early, self.claims = 0, 0, 0
        self.committed, self.claimed_again = threading.Event(), threading.Event()

    def claim(self, _lane, _limit):
        self.claims += 1
        if self.claims == 1:
            return ["first"]
        self.early += self.tries > 5 and not self.committed.is_set()
        if self.committed.is_set():
            self.claimed_again.set()
        return []

    def commit(self, _results):
        self.tries += 1
        if self.tries < TRIES:
            raise OperationalError("COMMIT", {}, Exception("the connection is lost"))
        self.committed.set()

    async def perform(self, _lane, items):
        return items

    def work(self):
        slots = Slots(50)
        return Work(
            stage=Stage.CREATE,
            lanes=lambda: [LANE[1]],
            slots=lambda _: slots,
            claim=self.claim,
            claim_of=lambda item: Claim(*LANE, item, "t", False, datetime.now(UTC)),
            commit=self.commit,
            perform=self.perform,
        )


def test_while_a_result_can_not_be_committed_nothing_more_is_claimed_and_then_the_lane_goes_on():
    """Its lease may be over: a row that is claimed as lost while its result is at hand is a doubt for nothing."""
    away = Away()

    async def open_works(_):
        return [away.work()]

    pump = Pump(open_works, lambda _: [Due(*LANE, -1.0)], lambda _: None, lambda _: None)
    pump.start()
    try:
        while not away.committed.wait(0.01):
            pump.wake(LANE)
        assert away.claimed_again.wait(PATIENCE_SECONDS)
        assert away.early == 0
    finally:
        pump.stop(1)


def test_a_result_that_the_database_never_takes_is_named_in_the_log_and_the_next_is_committed():
    taken = threading.Event()

    def commit(results):
        if "bad" in results:
            raise IntegrityError("INSERT", {}, Exception("it breaks a rule"))
        taken.set()

    claims = iter([["bad", "good"]])
    away = Away()
    work = dataclasses.replace(
        away.work(),
        claim=lambda *_: next(claims, []),
        commit=commit,
        name_of=lambda result: {"invoice_id": result, "provider_ref": "at-theirs"},
    )

    async def open_works(_):
        return [work]

    pump = Pump(open_works, lambda _: [Due(*LANE, -1.0)], lambda _: None, lambda _: None)
    with capture_logs() as lines:
        pump.start()
        try:
            assert taken.wait(PATIENCE_SECONDS)
        finally:
            pump.stop(1)
    given_up = [line for line in lines if line["event"] == "pump.result_given_up"]
    assert [(line["invoice_id"], line["provider_ref"]) for line in given_up] == [("bad", "at-theirs")]


def test_what_the_caller_has_bound_for_its_log_lines_does_not_stay_with_the_lane():
    performed, lines = threading.Event(), []
    claims = iter([["one"]])

    async def perform(_lane, items):
        lines.append(structlog.contextvars.get_contextvars())
        performed.set()
        return items

    work = dataclasses.replace(Away().work(), claim=lambda *_: next(claims, []), commit=list, perform=perform)

    async def open_works(_):
        return [work]

    pump = Pump(open_works, lambda _: [], lambda _: None, lambda _: None)
    pump.start()
    try:
        with structlog.contextvars.bound_contextvars(task_id="an order's own"):
            until = time.monotonic() + PATIENCE_SECONDS
            while not performed.wait(0.01):
                assert time.monotonic() < until
                pump.wake(LANE)
        assert lines == [{}]
    finally:
        pump.stop(1)


def commits_of(work, calls, written):
    """What commits a stage's results; ``written``: what was written the stage's own way, reserving slots."""

    async def write(batch):
        written.append(list(batch))
        return await calls.run(work.commit, batch)

    return commits.Commits(work, calls, write, lambda _: None, EngineLog())


def test_the_first_result_is_committed_at_once_and_what_comes_soon_after_it_together():
    written: list[list[int]] = []
    first = threading.Event()

    async def run():
        calls = store_calls.StoreCalls()
        work = dataclasses.replace(Away().work(), commit=lambda _: first.set(), batching=Batching(gather_seconds=0.5))
        queue = commits_of(work, calls, written)
        runner = asyncio.create_task(queue.run())
        queue.add(0)
        assert await asyncio.to_thread(first.wait, PATIENCE_SECONDS)
        for result in range(1, 4):
            queue.add(result)
            await asyncio.sleep(0.01)
        await queue.join()
        runner.cancel()
        calls.close()

    asyncio.run(run())
    assert written == [[0], [1, 2, 3]]


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
                await line.until(line.queue.results.queue.empty)
            await line.until(lambda: not line.queue.results.in_line)
            return len(line.queue.results.all), line.queue.hold_up(line.runner)

    assert asyncio.run(run()) == ((10, False) if repeatable else (30, True))


def test_after_a_database_that_was_away_nothing_is_claimed_while_any_result_of_before_waits(monkeypatch):
    """Not when the first of its batches is done either: the leases of the others' rows may be over as well."""
    monkeypatch.setattr(commits, "COMMIT_LIMIT", 1)
    begun, go = [[threading.Event(), threading.Event()] for _ in range(2)]
    held_up, away_seconds = [], [0.0]

    def commit(batch):
        begun[batch[0]].set()
        assert go[batch[0]].wait(PATIENCE_SECONDS)

    async def run():
        loop, calls = asyncio.get_running_loop(), store_calls.StoreCalls()
        time_before = loop.time
        monkeypatch.setattr(loop, "time", lambda: time_before() + away_seconds[0])
        queue = commits_of(dataclasses.replace(Away().work(), commit=commit), calls, [])
        runner, lane = asyncio.create_task(queue.run()), LaneState(Away().work(), LANE[1])
        for result in range(2):
            queue.add(result)
        assert await asyncio.to_thread(begun[0].wait, PATIENCE_SECONDS)
        away_seconds[0] = 60.0
        held_up.append(queue.hold_up(lane))
        go[0].set()
        assert await asyncio.to_thread(begun[1].wait, PATIENCE_SECONDS)
        held_up.append(queue.hold_up(lane))
        go[1].set()
        await queue.join()
        await asyncio.wait_for(lane.wake.wait(), PATIENCE_SECONDS)
        held_up.append(queue.hold_up(lane))
        runner.cancel()
        calls.close()

    asyncio.run(run())
    assert held_up == [True, True, False]
