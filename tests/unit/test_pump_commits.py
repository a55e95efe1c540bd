"""Results that the database does not take: yet, or ever."""

from __future__ import annotations

import asyncio
import dataclasses
import threading
import time

import structlog
from sqlalchemy.exc import IntegrityError
from structlog.testing import capture_logs

from tests.unit.pump_cases import LANE, PATIENCE_SECONDS, Away, commits_of
from workers.engine import (
    Batching,
    Pump,
    commits,
    store_calls,
)
from workers.engine.lane import LaneState
from workers.store.agenda import Due


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


def test_as_many_as_one_transaction_takes_wait_for_no_more(monkeypatch):
    monkeypatch.setattr(commits, "COMMIT_LIMIT", 3)
    written: list[list[int]] = []
    full = threading.Event()

    def commit(results):
        if len(results) == 3:
            full.set()

    async def run():
        calls = store_calls.StoreCalls()
        work = dataclasses.replace(Away().work(), commit=commit, batching=Batching(gather_seconds=3600.0))
        queue = commits_of(work, calls, written)
        runner = asyncio.create_task(queue.run())
        queue.add(0)
        await asyncio.wait_for(queue.join(), PATIENCE_SECONDS)
        for result in range(1, 5):
            queue.add(result)
            await asyncio.sleep(0.01)
        assert await asyncio.to_thread(full.wait, PATIENCE_SECONDS)
        runner.cancel()
        calls.close()

    asyncio.run(run())
    assert written == [[0], [1, 2, 3]]


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
