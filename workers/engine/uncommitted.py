"""What a stage's I/O has brought and the database does not know yet."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic

from workers.engine.observer import Failure, Observer, Trouble
from workers.engine.results import BARRED_LIMIT, Aside, Result
from workers.engine.slots import Slots, WaitingList
from workers.engine.work import Outcome, Work

UNCOMMITTED_LIMIT = 400  #: with more results waiting for their commit, nothing more of the stage is claimed
STUCK_SECONDS = 1.0  #: while a result waits for longer (not for a locked row), nothing more of the stage is claimed
TOLD_AT_TRIES = 3  #: of results that wait for a lock; our own locks are gone by then


class Uncommitted(Generic[Outcome]):
    """The results of one stage until they are committed or given up. Used on the loop only."""

    def __init__(self, work: Work[Any, Outcome], free: Callable[[Slots], None], observer: Observer) -> None:
        """``free`` is called for each slot that was held until its result was committed, or set aside."""
        self._work = work
        self._free = free
        self._observer = observer
        self.queue: deque[Result[Outcome]] = deque()  #: for the next transactions
        self.queued = asyncio.Event()  #: set by ``enqueue``; cleared by ``next`` when it finds the queue empty
        self.all: dict[Result[Outcome], None] = {}  #: in the order in which they came
        self.in_line: dict[Result[Outcome], None] = {}  #: of these, what was not set aside
        self.aside: Aside[Outcome] = Aside()
        self.waiting = WaitingList()  #: lanes held up because too much is uncommitted
        self.any, self.any_aside, self.none = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self.none.set()

    def add(self, value: Outcome, held: Slots | None = None) -> Result[Outcome]:
        """A result that has just come."""
        result = Result(value, asyncio.get_running_loop().time(), held)
        if not self.all:
            self.any.set()
            self.none.clear()
        self.all[result] = self.in_line[result] = None
        return result

    def enqueue(self, result: Result[Outcome]) -> None:
        """Have it go into one of the next transactions."""
        self.queue.append(result)
        if not self.queued.is_set():
            self.queued.set()

    async def next(self) -> Result[Outcome]:
        """The first of the queue, once there is one."""
        while not self.queue:
            self.queued.clear()
            await self.queued.wait()
        return self.queue.popleft()

    @property
    def is_late(self) -> bool:
        """Too many results wait, or one has for too long.

        Results that wait for locked rows count only where nothing but this memory keeps them.
        """
        oldest = next(iter(self.in_line), None)
        if oldest is not None and asyncio.get_running_loop().time() - oldest.added_at > STUCK_SECONDS:
            return True
        unkept = 0 if self._work.repeatable else self.aside.unkept
        return self.aside.barred > BARRED_LIMIT or len(self.queue) + unkept > UNCOMMITTED_LIMIT

    def set_aside(self, results: Sequence[Result[Outcome]], *, barred: bool, tries: int = 0) -> None:
        """They wait for a lock: they are retried beside the others until it is gone."""
        if not results:
            return
        if tries == TOLD_AT_TRIES:
            first = self._named(results[0])
            self.tell(Trouble.RESULTS_WAIT, results=len(results), first=first)
        self.aside.add(results, asyncio.get_running_loop().time(), barred=barred, tries=tries)
        for result in results:
            self._leave_line(result)
        for result in self.aside.drop_oldest(self._work.repeatable):
            self.give_up(result)
        self.any_aside.set()
        self.waiting.wake_all()

    def close(self, batch: Sequence[Result[Outcome]], left: Sequence[Outcome] | None, tries: int = 0) -> None:
        """They are committed, except those that were left."""
        waits = set(map(id, left or ()))
        for result in batch:
            if id(result.value) not in waits:
                self._end(result)
        self.set_aside([result for result in batch if id(result.value) in waits], barred=False, tries=tries)
        self.waiting.wake_all()

    def give_up(self, result: Result[Outcome]) -> None:
        """Its lease runs out, and its claims are counted; whoever claims its row finds it if it was kept."""
        trouble = Trouble.GIVEN_UP if result.kept_at is None else Trouble.LEFT_TO_ITS_LEASE
        self.tell(trouble, **self._named(result))
        self._end(result)

    def drop(self, batch: Sequence[Result[Outcome]], error: BaseException) -> None:
        """A bug hit these: what waits for no lock is left to its lease."""
        self.tell(Trouble.COMMIT_FAILED, error, results=len(batch))
        for result in batch:
            if result in self.in_line:
                self._end(result)
        self.waiting.wake_all()

    def tell(self, trouble: Trouble, error: BaseException | None = None, **fields: object) -> None:
        """Something went wrong with results."""
        self._observer.failed(Failure(trouble, self._work.stage, error, fields))

    def _named(self, result: Result[Outcome]) -> Mapping[str, Any]:
        """For the log. ``name_of`` may have a bug itself; the result must be logged and ended all the same."""
        try:
            return self._work.name_of(result.value)
        except Exception as error:  # noqa: BLE001 - told with what it should have named
            return {"unnamed": type(error).__name__}

    def _end(self, result: Result[Outcome]) -> None:
        self.all.pop(result, None)
        self._leave_line(result)
        if not self.all:
            self.any.clear()
            self.none.set()

    def _leave_line(self, result: Result[Outcome]) -> None:
        self.in_line.pop(result, None)
        held, result.held = result.held, None
        if held is not None:
            self._free(held)
