"""Results that were set aside are tried again until nobody has their rows locked any more."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any, Generic

from workers.engine.observer import Observer, Step, Trouble
from workers.engine.results import Group
from workers.engine.store_calls import StoreCalls
from workers.engine.uncommitted import Uncommitted
from workers.engine.work import Outcome, Work
from workers.store.database import UNAVAILABLE, has_timed_out


class Retries(Generic[Outcome]):
    """The transactions of what was set aside, beside those of the other results."""

    def __init__(
        self,
        work: Work[Any, Outcome],
        calls: StoreCalls,
        results: Uncommitted[Outcome],
        observer: Observer,
        limit: int,
    ) -> None:
        """``limit``: results per transaction."""
        self._work = work
        self._calls = calls
        self._results = results
        self._observer = observer
        self._limit = limit

    async def run(self) -> None:
        """Try whatever is due; never returns."""
        loop, results = asyncio.get_running_loop(), self._results
        while True:
            wait = results.aside.next_in(loop.time())
            if wait is None or wait > 0:  # woken earlier where something is set aside meanwhile
                results.any_aside.clear()
                with suppress(TimeoutError):
                    async with asyncio.timeout(wait):
                        await results.any_aside.wait()
            group = results.aside.take(loop.time(), self._limit)
            if group is not None:
                await self._try_again(group)
                results.waiting.wake_all()

    async def _try_again(self, group: Group[Outcome]) -> None:
        """No slots are reserved for what it brings: it may wait long."""
        loop, results = asyncio.get_running_loop(), group.results
        begun_at = loop.time()
        try:
            left = await self._calls.run(self._work.commit, [result.value for result in results])
        except UNAVAILABLE as error:
            self._set_aside_again(group, error)
        except Exception as error:  # noqa: BLE001 - told
            self._results.tell(Trouble.COMMIT_FAILED, error, results=len(results))
            if len(results) == 1:
                self._results.give_up(results[0])
            else:
                for result in results:
                    self._results.set_aside([result], barred=True, tries=1)
        else:
            self._results.close(results, left, group.tries + 1)
            count = len(left or ())
            seconds = loop.time() - begun_at
            self._observer.committed(self._work.stage, len(results) - count, count, seconds)
            self._observer.handled(Step.COMMIT, self._work.stage, None, [one.value for one in results], seconds)

    def _set_aside_again(self, group: Group[Outcome], error: BaseException) -> None:
        """As a whole, or in halves where they were too much for one transaction."""
        results, timed_out = group.results, has_timed_out(error)
        if len(results) > 1 and timed_out:
            half = len(results) // 2
            self._results.set_aside(results[:half], barred=True, tries=1)
            self._results.set_aside(results[half:], barred=True, tries=1)
        else:
            self._results.set_aside(results, barred=group.barred or timed_out, tries=group.tries + 1)
