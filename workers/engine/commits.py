"""Results on their way into the database: gathered while a commit runs, committed in groups, tried until it works."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import structlog

from workers.engine.results import BARRED_LIMIT, Aside, Group, Result
from workers.engine.work import Runner, Slots, Work, wait_in
from workers.store.database import UNAVAILABLE, has_timed_out, is_locked_out

log = structlog.get_logger()

Write = Callable[[Sequence[Any]], Awaitable[Sequence[Any] | None]]  #: one transaction; what it left

COMMIT_LIMIT = 200  #: results per transaction
UNCOMMITTED_LIMIT = 400  #: with more results waiting for their commit, nothing more of the stage is claimed
TIME_OUTS = 5  #: of one result alone in its transaction, half a minute each; then it is given up
STUCK_SECONDS = 1.0  #: while a result waits for longer (not for a locked row), nothing more of the stage is claimed
TOLD_AT_TRIES = 3  #: of results that wait for a lock; our own locks are gone by then
KEEP_AFTER_SECONDS = 1.0  #: a result whose commit takes longer keeps its lease, and is kept where it can't be had again
KEEP_TICK_SECONDS = 0.5
KEPT_LEASE_SECONDS = 15.0  #: from each renewal: so long after its holder's death a row is due, at most
KEEP_LIMIT_SECONDS = 900.0  #: then leases run out: who claims the row finds what was kept
BACK_OFF_SECONDS = (0.1, 0.2, 0.5, 1.0, 2.0)  #: while the database is away; the last repeats


def first_line(error: BaseException) -> str:
    """An error in one bounded line."""
    return (str(error).splitlines() or [type(error).__name__])[0][:200]


class StoreCalls:
    """Calls of the synchronous store from the loop."""

    def __init__(self) -> None:
        self._executor = ThreadPoolExecutor(max_workers=10, thread_name_prefix="store")
        self._apart = ThreadPoolExecutor(max_workers=1, thread_name_prefix="keeper")

    async def run(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """The function's answer, from a thread."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, function, *arguments)

    async def run_apart(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """The same, in a thread that waits behind no other call, whatever they wait for."""
        return await asyncio.get_running_loop().run_in_executor(self._apart, function, *arguments)

    async def rest(self, error: BaseException, tries: int) -> None:
        """Wait before the next try, longer each time; the first is told."""
        if tries == 0:
            log.warning("store.unavailable", error=first_line(error))
        await asyncio.sleep(BACK_OFF_SECONDS[min(tries, len(BACK_OFF_SECONDS) - 1)])

    def close(self) -> None:
        """Take no more calls; those under way end by themselves."""
        self._executor.shutdown(wait=False, cancel_futures=True)
        self._apart.shutdown(wait=False, cancel_futures=True)


class Commits:
    """What a stage's I/O has brought and the database does not know yet. Touched on the loop only."""

    def __init__(self, work: Work, calls: StoreCalls, write: Write, free: Callable[[Slots], None]) -> None:
        """``free``: called for each slot that was held until its result was committed, or set aside."""
        self._work = work
        self._calls = calls
        self._write = write
        self._free = free
        self._queue: asyncio.Queue[Result] = asyncio.Queue()
        self._open: dict[Result, None] = {}  #: all that is not committed yet, in the order it came
        self._main: dict[Result, None] = {}  #: of these, what was not set aside
        self._aside = Aside()
        self._waiting: list[Runner] = []  #: lanes held up because too much is uncommitted
        self._any_open, self._any_aside, self._none_open = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._none_open.set()

    def add(self, value: Any, held: Slots | None = None) -> None:
        """Have a result committed soon; ``held``: a slot that is free only then."""
        self._queue.put_nowait(self._opened(value, held))

    def _opened(self, value: Any, held: Slots | None = None) -> Result:
        result = Result(value, asyncio.get_running_loop().time(), held)
        self._open[result] = self._main[result] = None
        self._any_open.set()
        self._none_open.clear()
        return result

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
        """Too much waits, or too long. What waits for rows that somebody has locked counts only where nothing keeps it
        but this memory."""
        oldest = next(iter(self._main), None)
        if oldest is not None and asyncio.get_running_loop().time() - oldest.added_at > STUCK_SECONDS:
            return True
        unkept = 0 if self._work.repeatable else self._aside.unkept
        barred = self._aside.barred > BARRED_LIMIT
        return barred or self._queue.qsize() + unkept > UNCOMMITTED_LIMIT

    async def join(self) -> None:
        """Until everything is committed."""
        await self._none_open.wait()

    async def run(self) -> None:
        """Commit what comes in, for ever."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._run_batches())
            group.create_task(self._run_aside())
            if self._work.keep is not None:
                group.create_task(self._run_keeper(self._work.keep))

    async def _run_batches(self) -> None:
        loop, rested_at = asyncio.get_running_loop(), 0.0
        while True:
            batch = [await self._queue.get()]
            if not self._work.hold_slot and self._queue.qsize() < COMMIT_LIMIT:
                await asyncio.sleep(max(0.0, rested_at - loop.time()))
            while len(batch) < COMMIT_LIMIT and not self._queue.empty():
                batch.append(self._queue.get_nowait())
            await self._commit(batch)
            rested_at = loop.time() + self._work.gather_seconds

    async def commit_group(self, values: Sequence[Any]) -> None:
        """Commit these by themselves, as ``add`` does with what it is given."""
        await self._commit([self._opened(value) for value in values])

    async def _commit(self, batch: Sequence[Result]) -> None:
        """One transaction, again and again while the database is away; one bad or slow result holds up no other."""
        tries = time_outs = 0
        while True:
            try:
                left = await self._write([result.value for result in batch])
            except UNAVAILABLE as error:
                if is_locked_out(error):
                    self._set_aside(batch, barred=True)
                    return
                time_outs += has_timed_out(error)
                if time_outs < (TIME_OUTS if len(batch) == 1 and self._work.repeatable else 1):
                    await self._calls.rest(error, tries)
                    tries += 1
                    continue
                log.warning("pump.commit_too_slow", stage=self._work.stage.value, results=len(batch))
                keep, size = not self._work.repeatable, (len(batch) + 1) // 2
            except Exception:
                log.exception("pump.commit_failed", stage=self._work.stage.value, results=len(batch))
                keep, size = False, 1
            else:
                self._close(batch, left)
                return
            break
        if len(batch) > 1:
            for start in range(0, len(batch), size):
                await self._commit(batch[start : start + size])
        elif keep:  # what brought it is a call that can't be made again
            self._set_aside(batch, barred=True)
        else:
            self._give_up(batch[0])

    # ------------------------------------------------------------ what somebody else has locked

    def _set_aside(self, results: Sequence[Result], *, barred: bool, tries: int = 0) -> None:
        """It waits for a lock, again and again, beside the others."""
        if not results:
            return
        if tries == TOLD_AT_TRIES:
            named = self._work.name_of(results[0].value)
            log.warning("pump.results_wait", stage=self._work.stage.value, results=len(results), first=named)
        self._aside.add(results, asyncio.get_running_loop().time(), barred=barred, tries=tries)
        for result in results:
            self._leave_line(result)
        for result in self._aside.drop_oldest(self._work.repeatable):
            self._give_up(result)
        self._any_aside.set()
        self._wake_waiting()

    async def _run_aside(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            wait = self._aside.next_in(loop.time())
            if wait is None or wait > 0:  # woken earlier where something is set aside meanwhile
                self._any_aside.clear()
                with suppress(TimeoutError):
                    async with asyncio.timeout(wait):
                        await self._any_aside.wait()
            group = self._aside.take(loop.time(), COMMIT_LIMIT)
            if group is not None:
                await self._try_again(group)
                self._wake_waiting()

    async def _try_again(self, group: Group) -> None:
        """Nothing is held ready for what it brings: it may wait for long."""
        results, tries = group.results, group.tries + 1
        try:
            left = await self._calls.run(self._work.commit, [result.value for result in results])
        except UNAVAILABLE as error:
            if len(results) > 1 and has_timed_out(error):
                half = len(results) // 2
                self._set_aside(results[:half], barred=True, tries=1)
                self._set_aside(results[half:], barred=True, tries=1)
            else:
                self._set_aside(results, barred=group.barred or has_timed_out(error), tries=tries)
        except Exception:
            log.exception("pump.commit_failed", stage=self._work.stage.value, results=len(results))
            if len(results) == 1:
                self._give_up(results[0])
            else:
                for result in results:
                    self._set_aside([result], barred=True, tries=1)
        else:
            self._close(results, left, tries)

    # ------------------------------------------------------------ leases and answers meanwhile

    async def _run_keeper(self, keep: Callable[[Sequence[Any], float], None]) -> None:
        """What waits for long keeps its lease, and where it can't be had again it is kept where it waits for nobody."""
        while True:
            await self._any_open.wait()
            await asyncio.sleep(KEEP_TICK_SECONDS)
            now = asyncio.get_running_loop().time()
            late = [result for result in self._open if self._is_to_be_kept(result, now)]
            if not late:
                continue
            try:
                await self._calls.run_apart(keep, [result.value for result in late], KEPT_LEASE_SECONDS)
                for result in late:
                    result.kept_at = now
                committed = [result.value for result in late if result not in self._open]
                if committed and self._work.forget is not None:
                    await self._calls.run_apart(self._work.forget, committed)
            except UNAVAILABLE as error:
                log.info("pump.results_not_kept", stage=self._work.stage.value, error=first_line(error))
            except Exception:
                log.exception("pump.keeping_failed", stage=self._work.stage.value, results=len(late))

    def _is_to_be_kept(self, result: Result, now: float) -> bool:
        if not KEEP_AFTER_SECONDS <= now - result.added_at <= KEEP_LIMIT_SECONDS:
            return False
        return result.kept_at is None or now - result.kept_at >= KEPT_LEASE_SECONDS / 3

    # ------------------------------------------------------------ the end of a result

    def _close(self, batch: Sequence[Result], left: Sequence[Any] | None, tries: int = 0) -> None:
        """It is committed, but for what was left."""
        waits = set(map(id, left or ()))
        for result in batch:
            if id(result.value) not in waits:
                self._end(result)
        self._set_aside([result for result in batch if id(result.value) in waits], barred=False, tries=tries)
        self._wake_waiting()

    def _give_up(self, result: Result) -> None:
        """Its lease runs out, and its claims are counted; where it was kept, who claims it finds it."""
        event = "pump.result_given_up" if result.kept_at is None else "pump.result_left_to_its_lease"
        log.error(event, stage=self._work.stage.value, **self._work.name_of(result.value))
        self._end(result)

    def _end(self, result: Result) -> None:
        self._open.pop(result, None)
        self._leave_line(result)
        if not self._open:
            self._any_open.clear()
            self._none_open.set()

    def _leave_line(self, result: Result) -> None:
        self._main.pop(result, None)
        held, result.held = result.held, None
        if held is not None:
            self._free(held)

    def _wake_waiting(self) -> None:
        waiting, self._waiting = self._waiting, []
        for runner in waiting:
            runner.wake.set()
