"""Results that wait long for their commit: leases are renewed, and answers that can't be asked for again are kept."""

from __future__ import annotations

import asyncio
from typing import Generic

from workers.engine.observer import Trouble
from workers.engine.results import Result
from workers.engine.store_calls import StoreCalls
from workers.engine.uncommitted import Uncommitted
from workers.engine.work import Keeping, Outcome
from workers.store.database import UNAVAILABLE

KEEP_AFTER_SECONDS = 1.0  #: a result whose commit takes longer is kept, and keeps its lease
KEEP_TICK_SECONDS = 0.5
KEPT_LEASE_SECONDS = 15.0  #: from each renewal; a row is due at most this long after its holder died
KEEP_LIMIT_SECONDS = 900.0  #: then leases run out: whoever claims the row finds what was kept


class Keeper(Generic[Outcome]):
    """Looks after those results of one stage that have waited long."""

    def __init__(self, keeping: Keeping[Outcome], calls: StoreCalls, results: Uncommitted[Outcome]) -> None:
        self._keeping = keeping
        self._calls = calls
        self._results = results

    async def run(self) -> None:
        """Look every half second while anything waits; never returns."""
        while True:
            await self._results.any.wait()
            await asyncio.sleep(KEEP_TICK_SECONDS)
            now = asyncio.get_running_loop().time()
            late = [result for result in self._results.all if _is_to_be_kept(result, now)]
            if not late:
                continue
            try:
                await self._keep(late, now)
            except UNAVAILABLE as error:
                self._results.tell(Trouble.NOT_KEPT, error)
            except Exception as error:  # noqa: BLE001 - told
                self._results.tell(Trouble.KEEPING_FAILED, error, results=len(late))

    async def _keep(self, late: list[Result[Outcome]], now: float) -> None:
        await self._calls.run_apart(self._keeping.keep, [result.value for result in late], KEPT_LEASE_SECONDS)
        for result in late:
            result.kept_at = now
        committed = [result.value for result in late if result not in self._results.all]
        if committed and self._keeping.forget is not None:
            await self._calls.run_apart(self._keeping.forget, committed)


def _is_to_be_kept(result: Result[Outcome], now: float) -> bool:
    if not KEEP_AFTER_SECONDS <= now - result.added_at <= KEEP_LIMIT_SECONDS:
        return False
    return result.kept_at is None or now - result.kept_at >= KEPT_LEASE_SECONDS / 3
