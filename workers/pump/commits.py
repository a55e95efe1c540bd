"""Results on their way into the database: gathered while a commit runs, committed in groups, tried until it works."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import structlog

from workers.pump.work import Runner, Slots, Work, wait_in
from workers.store.database import UNAVAILABLE, has_timed_out, is_locked_out

log = structlog.get_logger()

Write = Callable[[Sequence[Any]], Awaitable[None]]  #: one transaction

COMMIT_LIMIT = 200  #: results per transaction
UNCOMMITTED_LIMIT = 400  #: with more results waiting for their commit, nothing more of the stage is claimed
TIME_OUTS = 5  #: of one result alone in its transaction, half a minute each; then it is given up
STUCK_SECONDS = 1.0  #: while a result waits for longer (not for a locked row), nothing more of the stage is claimed
BACK_OFF_SECONDS = (0.1, 0.2, 0.5, 1.0, 2.0)  #: while the database is away; the last repeats


def first_line(error: BaseException) -> str:
    """An error in one bounded line."""
    return (str(error).splitlines() or [type(error).__name__])[0][:200]


class StoreCalls:
    """Calls of the synchronous store from the loop."""

    def __init__(self) -> None:
        self._executor = ThreadPoolExecutor(max_workers=10, thread_name_prefix="store")

    async def run(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """The function's answer, from a thread."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, function, *arguments)

    async def rest(self, error: BaseException, tries: int) -> None:
        """Wait before the next try, longer each time; the first is told."""
        if tries == 0:
            log.warning("store.unavailable", error=first_line(error))
        await asyncio.sleep(BACK_OFF_SECONDS[min(tries, len(BACK_OFF_SECONDS) - 1)])

    def close(self) -> None:
        """Take no more calls; those under way end by themselves."""
        self._executor.shutdown(wait=False, cancel_futures=True)


class Commits:
    """What a stage's I/O has brought and the database does not know yet. Touched on the loop only."""

    def __init__(self, work: Work, calls: StoreCalls, write: Write, free: Callable[[Slots], None]) -> None:
        """``free``: called for each slot that was held until its result was committed, or waits for its row's lock."""
        self._work = work
        self._calls = calls
        self._write = write
        self._free = free
        self._queue: asyncio.Queue[tuple[Any, Slots | None]] = asyncio.Queue()
        self._kept: asyncio.Queue[Any] = asyncio.Queue()  #: of locked rows, say: tried alone, beside the others
        self._waiting: list[Runner] = []  #: lanes held up because too much is uncommitted
        self._added_at: deque[float] = deque()  #: the queue's results and those being committed, by the loop's time

    def add(self, result: Any, held: Slots | None = None) -> None:
        """Have a result committed soon; ``held``: a slot that is free only then."""
        self._queue.put_nowait((result, held))
        self._added_at.append(asyncio.get_running_loop().time())

    def hold_up(self, runner: Runner) -> bool:
        """Whether too much waits for its commit, or too long; the lane is woken to ask again.

        After a database that was away for longer than a lease, rows would be claimed as lost while their results wait.
        """
        if not self.is_late:
            return False
        wait_in(self._waiting, runner)
        return True

    @property
    def is_late(self) -> bool:
        """Too much waits, or too long."""
        now = asyncio.get_running_loop().time()
        stuck = bool(self._added_at) and now - self._added_at[0] > STUCK_SECONDS
        return stuck or self._queue.qsize() + self._kept.qsize() > UNCOMMITTED_LIMIT

    async def join(self) -> None:
        """Until everything is committed."""
        await self._queue.join()
        await self._kept.join()

    async def run(self) -> None:
        """Commit what comes in, for ever."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._run_batches())
            group.create_task(self._run_kept())

    async def _run_kept(self) -> None:
        while True:
            # Nothing is held ready for what it brings: it waits for a lock, again and again.
            await self.commit([await self._kept.get()], lambda batch: self._calls.run(self._work.commit, batch))
            self._kept.task_done()
            self._wake_waiting()

    async def _run_batches(self) -> None:
        loop, rested_at = asyncio.get_running_loop(), 0.0
        while True:
            batch = [await self._queue.get()]
            if not self._work.hold_slot and self._queue.qsize() < COMMIT_LIMIT:
                await asyncio.sleep(max(0.0, rested_at - loop.time()))
            while len(batch) < COMMIT_LIMIT and not self._queue.empty():
                batch.append(self._queue.get_nowait())
            await self.commit([result for result, _ in batch])
            rested_at = loop.time() + self._work.gather_seconds
            self._done([slots for _, slots in batch])

    def _done(self, held: Sequence[Slots | None]) -> None:
        for slots in held:
            self._queue.task_done()
            self._added_at.popleft()
            if slots is not None:
                self._free(slots)
        self._wake_waiting()

    def _wake_waiting(self) -> None:
        waiting, self._waiting = self._waiting, []
        for runner in waiting:
            runner.wake.set()

    async def commit(self, batch: Sequence[Any], write: Write | None = None) -> None:
        """One transaction, again and again while the database is away; one bad or slow result holds up no other."""
        tries = time_outs = 0
        while True:
            try:
                await (write or self._write)(batch)
            except UNAVAILABLE as error:
                locked = is_locked_out(error)
                time_outs += has_timed_out(error)
                if not locked and time_outs < (TIME_OUTS if len(batch) == 1 and self._work.repeatable else 1):
                    await self._calls.rest(error, tries)
                    tries += 1
                    continue
                log.warning("pump.commit_too_slow", stage=self._work.stage.value, results=len(batch), locked=locked)
                # A commit costs milliseconds, each more that has a locked row in it two seconds: found at once.
                keep, size = locked or not self._work.repeatable, 1 if locked else (len(batch) + 1) // 2
            except Exception:
                log.exception("pump.commit_failed", stage=self._work.stage.value, results=len(batch))
                keep, size = False, 1
            else:
                return
            break
        if len(batch) > 1:
            for start in range(0, len(batch), size):
                await self.commit(batch[start : start + size])
        elif keep:  # nothing is wrong with it, or what brought it is a call that can't be made again
            log.warning("pump.result_waits", stage=self._work.stage.value, **self._work.name_of(batch[0]))
            self._kept.put_nowait(batch[0])
        else:  # its lease runs out, and its claims are counted
            log.error("pump.result_given_up", stage=self._work.stage.value, **self._work.name_of(batch[0]))
