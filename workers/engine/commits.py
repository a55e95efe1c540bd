"""Commit: results gather while a commit runs, go into the next one together, and are tried until that works."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, Generic

from workers.engine.keeper import Keeper
from workers.engine.lane import AnyLane
from workers.engine.observer import Observer, Step, Trouble
from workers.engine.results import Result
from workers.engine.retries import Retries
from workers.engine.slots import Slots
from workers.engine.store_calls import StoreCalls, back_off
from workers.engine.uncommitted import Uncommitted
from workers.engine.work import Outcome, Work, rest_after
from workers.store.database import UNAVAILABLE, has_timed_out, is_locked_out

COMMIT_LIMIT = 200  #: results per transaction
TIME_OUTS = 5  #: for one result alone in its transaction, half a minute each; then it is given up


class Commits(Generic[Outcome]):
    """The transactions of one stage."""

    def __init__(
        self,
        work: Work[Any, Outcome],
        calls: StoreCalls,
        write: Callable[[Sequence[Outcome]], Awaitable[Sequence[Outcome] | None]],
        free: Callable[[Slots], None],
        observer: Observer,
    ) -> None:
        """``write``: one transaction; returns what it left. ``free``: see ``Uncommitted``."""
        self._work = work
        self._write = write
        self._observer = observer
        self.results = Uncommitted(work, free, observer)
        self._retries = Retries(work, calls, self.results, observer, COMMIT_LIMIT)
        self._keeper = Keeper(work.keeping, calls, self.results) if work.keeping is not None else None
        self._full = asyncio.Event()  #: as many results wait as one transaction takes

    def add(self, value: Outcome, held: Slots | None = None) -> None:
        """Have a result committed soon; ``held``: a slot that is free only then."""
        self.results.enqueue(self.results.add(value, held))
        if len(self.results.queue) >= COMMIT_LIMIT:
            self._full.set()

    def hold_up(self, lane: AnyLane) -> bool:
        """Whether too much waits for its commit, or for too long; the lane is woken to ask again.

        Otherwise, after an outage longer than a lease, rows would be claimed as lost while their results still wait.
        """
        if not self.results.is_late:
            return False
        self.results.waiting.add(lane)
        return True

    @property
    def is_late(self) -> bool:
        """Too much waits for its commit, or for too long."""
        return self.results.is_late

    async def join(self) -> None:
        """Until everything is committed."""
        await self.results.none.wait()

    async def run(self) -> None:
        """Commit what comes in; never returns."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._run_batches())
            group.create_task(self._retries.run())
            if self._keeper is not None:
                group.create_task(self._keeper.run())

    async def commit_group(self, values: Sequence[Outcome]) -> None:
        """Commit these at once and together, as carefully as what ``add`` was given."""
        await self._commit([self.results.add(value) for value in values])

    async def _run_batches(self) -> None:
        loop, queue, rested_at = asyncio.get_running_loop(), self.results.queue, 0.0
        while True:
            batch = [await self.results.next()]
            if not self._work.slot_use.until_committed and len(queue) < COMMIT_LIMIT:
                await self._gather(rested_at - loop.time())
            batch += [queue.popleft() for _ in range(min(len(queue), COMMIT_LIMIT - 1))]
            begun_at = loop.time()
            try:
                await self._commit(batch)
            except Exception as error:  # noqa: BLE001 - told; the batches after this one go on
                self.results.drop(batch, error)
            rested_at = loop.time() + rest_after(loop.time() - begun_at, self._work.batching.gather_seconds)

    async def _gather(self, seconds: float) -> None:
        """Wait this long for more results, or until as many have come as one transaction takes: with too many of them
        nothing more would be claimed."""
        self._full.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, seconds)):
                await self._full.wait()

    async def _commit(self, batch: Sequence[Result[Outcome]]) -> None:
        """Have a batch written. One result that is bad or slow holds up no other."""
        loop = asyncio.get_running_loop()
        begun_at = loop.time()
        try:
            left = await self._insist(batch)
        except UNAVAILABLE as error:
            if is_locked_out(error):
                self.results.set_aside(batch, barred=True)
                return
            self.results.tell(Trouble.COMMIT_TOO_SLOW, results=len(batch))
            size, keep = (len(batch) + 1) // 2, not self._work.repeatable
        except Exception as error:  # noqa: BLE001 - told
            self.results.tell(Trouble.COMMIT_FAILED, error, results=len(batch))
            size, keep = 1, False
        else:
            self.results.close(batch, left)
            count = len(left or ())
            seconds = loop.time() - begun_at
            self._observer.committed(self._work.stage, len(batch) - count, count, seconds)
            self._observer.handled(Step.COMMIT, self._work.stage, None, [one.value for one in batch], seconds)
            return
        await self._part(batch, size, keep=keep)

    async def _insist(self, batch: Sequence[Result[Outcome]]) -> Sequence[Outcome] | None:
        """One transaction, repeated while the database is away. Raises what repeating would not fix."""
        patience = TIME_OUTS if len(batch) == 1 and self._work.repeatable else 1
        tries = time_outs = 0
        while True:
            try:
                return await self._write([result.value for result in batch])
            except UNAVAILABLE as error:
                time_outs += has_timed_out(error)
                if is_locked_out(error) or time_outs >= patience:
                    raise
                await back_off(self._observer, error, tries)
                tries += 1

    async def _part(self, batch: Sequence[Result[Outcome]], size: int, *, keep: bool) -> None:
        """Try a batch in parts. A single result is set aside if its call can't be repeated, else given up."""
        if len(batch) > 1:
            for start in range(0, len(batch), size):
                await self._commit(batch[start : start + size])
        elif keep:
            self.results.set_aside(batch, barred=True)
        else:
            self.results.give_up(batch[0])
