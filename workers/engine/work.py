"""A stage of work as values, the slots its I/O takes, and the state of each of its lanes."""

from __future__ import annotations

import asyncio
import math
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from domain.decision import Stage
from workers.store.agenda import Claim

Lane = tuple[Stage, str]

REFILL_SECONDS = 0.01  #: freed slots are gathered for so long before the next claim
QUICK_SECONDS = 0.5  #: while calls are shorter, what is claimed ahead of them does not wait for long
SLOW_SECONDS = 15.0  #: after one that was not, nothing is claimed ahead for so long: others may hang by now


@dataclass(slots=True)
class Slots:
    """How much I/O may be under way, and is or is about to be; lanes of one account share it. Touched on the loop only.

    A slot is in use from the claim of what it is for, or from the commit that may bring it, until its I/O has ended.
    """

    limit: int
    used: int = 0
    used_by: Counter[Stage] = field(default_factory=Counter)
    waiting: list[Runner] = field(default_factory=list)  #: lanes that were woken when no slot was free, in their order
    offered: bool = False  #: those who wait are woken in a moment

    def take(self, stage: Stage, count: int) -> None:
        """So many more are in use; negative: fewer."""
        self.used += count
        self.used_by[stage] += count

    def free(self, stage: Stage) -> None:
        """One less is in use, and offered."""
        self.take(stage, -1)
        self.offer()

    def offer(self) -> None:
        """Have the lanes that wait for a slot ask again, in their order. Freed slots of one row each are gathered for a
        moment, so that a claim fetches several; and for all alike, or who may go at once would always be first."""
        if self.waiting and self.used < self.limit and not self.offered:
            self.offered = True
            gather = any(runner.work.group == 1 for runner in self.waiting)
            asyncio.get_running_loop().call_later(REFILL_SECONDS if gather else 0.0, self._wake_waiting)

    def _wake_waiting(self) -> None:
        self.offered = False
        waiting, self.waiting = self.waiting, []
        for runner in waiting:
            runner.wake.set()

    def free_for(self, work: Work) -> int:
        """How many a stage may take: all that are free but what it leaves to those that share them; of a single shared
        one, none while it is offered to who waits."""
        if self.offered and work.reserve >= self.limit:
            return 0
        reserve = min(work.reserve, self.limit - 1)
        return min(self.limit - self.used, self.limit - reserve - self.used_by[work.stage])


@dataclass(frozen=True, slots=True)
class Work:
    """A stage, as values. ``claim`` and ``commit`` are synchronous store calls; ``perform`` is the I/O of one group.

    ``perform`` gives a result for each item and must not raise; None: the items are their own results (no I/O), and a
    group of them is committed as it is.
    """

    stage: Stage
    lanes: Callable[[], Sequence[str]]
    slots: Callable[[str], Slots]
    claim: Callable[[str, int], Sequence[Any]]
    claim_of: Callable[[Any], Claim]
    commit: Callable[[Sequence[Any]], Sequence[Any] | None]  #: returns what it left: somebody else has it locked
    perform: Callable[[str, Sequence[Any]], Awaitable[Sequence[Any]]] | None = None
    batch: int = 100  #: rows per claim
    group: int = 1  #: rows per ``perform``; a group takes one slot
    repeatable: bool = True  #: an item that was cut short may simply be given back; a create may not
    reserve: int = 0  #: slots that it never uses itself: they are the other stages' that share them
    timed: bool = False  #: its rows are met to the moment, or after the rest that was begun, not within a second
    feeds: Stage | None = None  #: what its commits bring is this stage's work
    #: ``commit`` with so many places in the lanes it feeds: what it leased of that work, by lane, to be begun at once,
    #: and what it left
    commit_and_take: (
        Callable[[Sequence[Any], Mapping[str, int]], tuple[Mapping[str, Sequence[Any]], Sequence[Any]]] | None
    ) = None
    #: While a commit is held up: lets the leases of its results last so many seconds more, and keeps what can't be had
    #: again where no lock is waited for. Called again and again.
    keep: Callable[[Sequence[Any], float], None] | None = None
    forget: Callable[[Sequence[Any]], None] | None = None  #: these were committed while they were being kept
    #: While a lane with more due makes quick calls, its next claim doesn't wait for them: what it brings is ready when
    #: slots come free, which would be idle else for as long as a claim takes.
    ahead: bool = False
    hold_slot: bool = False  #: a slot is free again only when its result is committed
    admit: Callable[[str, int], Awaitable[tuple[int, float]]] | None = None  #: how many of n now; else seconds to wait
    passes: Callable[[str], bool] | None = None  #: whether ``admit`` would let all through, as far as is known here
    refund: Callable[[str, int], Awaitable[None]] | None = None  #: gives back what was let through and not used
    name_of: Callable[[Any], Mapping[str, Any]] = lambda _: {}  #: what the log says of a result that is given up
    flows: bool = False  #: where there is some, more comes in: it is claimed again without waiting for bells
    rest_seconds: float = 0.02  #: after a claim that found less than it could have; it cost nearly what a full one does
    #: After a commit, results are gathered for so long before the next; after an idle time the first is committed at
    #: once. A commit costs nearly the same for one row as for twenty: under load, rows come in between.
    gather_seconds: float = 0.02
    #: What ``admit`` does not let through here needs no other process rung for it: all share the rate; a provider's 429
    #: each learns by itself, and it is meant for all of them.
    shared_limit: bool = False


@dataclass(slots=True)
class Runner:
    """One lane's state, touched on the loop only."""

    work: Work
    lane: str
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None
    held: bool = False  #: let through no more (``Work.admit``) until its timer has run out, however often it is woken
    flowing: bool = False  #: the last claim found rows of a stage that ``flows``
    put_off: bool = False  #: a bell was heard meanwhile and not cleared
    behind: bool = False  #: the last claim left rows behind: they are older than what is new
    waits: bool = False  #: it found no slot free: what it was woken for may be older than what is new
    quick: bool = False  #: its calls take less than QUICK_SECONDS
    slow_at: float = -math.inf  #: when the last one ended that took longer, by the monotonic clock
    ready: deque[Any] = field(default_factory=deque)  #: items claimed ahead, not begun

    def hold(self, seconds: float) -> None:
        """Let nothing through for so long."""
        self.held = True
        asyncio.get_running_loop().call_later(seconds, self._let_go)

    def _let_go(self) -> None:
        self.held = False
        self.wake.set()

    def note(self, begun_at: float) -> None:
        """A call has ended."""
        now = time.monotonic()
        if now - begun_at >= QUICK_SECONDS:
            self.slow_at = now
        self.quick = now - self.slow_at >= SLOW_SECONDS

    def ahead(self, slots: Slots) -> int:
        """Rows that it may claim though no slot is free: as many as slots, so that none waits for more than a round or
        two of calls, and as soon as half of the last ones are begun, so that they are there in time."""
        count = min(self.work.batch, slots.limit)
        due = self.work.ahead and self.behind and self.quick
        return count if due and len(self.ready) <= count // 2 else 0

    @property
    def goes_on(self) -> bool:
        """It is claimed again soon, whether it is woken or not."""
        busy = self.flowing or (self.behind and self.work.flows)
        return busy or (self.held and self.work.shared_limit)


def wait_in(waiting: list[Runner], runner: Runner) -> None:
    """Have a lane woken when what it waits for is there, once however often it asks."""
    if runner not in waiting:
        waiting.append(runner)
