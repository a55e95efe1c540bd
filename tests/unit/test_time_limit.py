"""Time limits of exchanges: as asyncio's own, by one timer for all of them."""

from __future__ import annotations

import asyncio
import selectors

import pytest

from workers.http.time_limit import LEAST_SECONDS, TimeLimit, TimeLimits


class Hurrying(selectors.DefaultSelector):
    """Waits for nothing: time goes on instead."""

    now = 0.0

    def select(self, timeout=None):
        self.now += timeout or 0.0
        return super().select(0)


class VirtualLoop(asyncio.SelectorEventLoop):
    """Its time is its own, however busy the machine is."""

    def __init__(self):
        self.hurrying = Hurrying()
        super().__init__(self.hurrying)

    def time(self):
        return self.hurrying.now


def run(work):
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(work)


def test_each_ends_at_its_own_time_whatever_the_others_do():
    async def wait(limits, seconds, long):
        began = asyncio.get_running_loop().time()
        try:
            with TimeLimit(limits, seconds):
                await asyncio.sleep(long)
        except TimeoutError:
            return "late", asyncio.get_running_loop().time() - began
        return "in time", asyncio.get_running_loop().time() - began

    async def all_of_them():
        limits = TimeLimits()
        waits = [(0.3, 5), (0.1, 5), (5, 0.05), (0.2, 0.01), (0.1, 5), (0.0, 5)]
        return await asyncio.gather(*(wait(limits, *one) for one in waits)), limits

    ended, limits = run(all_of_them())
    assert [how for how, _ in ended] == ["late", "late", "in time", "in time", "late", "late"]
    for (_, took), least in zip(ended, (0.3, 0.1, 0.05, 0.01, 0.1, 0.0), strict=True):
        assert least <= took + 1e-6
        assert took <= least + LEAST_SECONDS + 1e-6
    assert not limits._running
    assert limits._timer is None


def test_a_wait_of_ours_does_not_count_and_what_is_taken_back_does():
    async def waiting(*waits):
        with TimeLimit(TimeLimits(), 0.1) as limit:
            for seconds in waits:
                limit.wait(seconds)
            assert limit.waited_seconds == sum(waits)
            await asyncio.sleep(0.3)

    run(waiting(1.0))
    with pytest.raises(TimeoutError):
        run(waiting(1.0, -1.0))


def test_who_is_cancelled_from_outside_stays_cancelled():
    async def cancelled():
        async def held():
            with TimeLimit(TimeLimits(), 5):
                await asyncio.sleep(5)

        task = asyncio.create_task(held())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(cancelled())


def test_an_error_that_comes_instead_of_the_cancellation_is_the_error_and_leaves_nothing_behind():
    async def fail_instead():
        try:
            await asyncio.sleep(5)
        except asyncio.CancelledError:
            raise ConnectionError from None

    async def broken():
        limit = TimeLimit(TimeLimits(), 0.02)
        with pytest.raises(ConnectionError), limit:
            await fail_instead()
        task = asyncio.current_task()
        assert limit.is_expired
        assert task is not None
        assert task.cancelling() == 0

    run(broken())
