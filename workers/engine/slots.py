"""Slots: how many calls may be under way at a time, and who is woken when one comes free."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol

from domain.decision import Stage

REFILL_SECONDS = 0.01  #: freed slots are gathered for this long before the next claim


class Waiter(Protocol):
    """A lane that waits for something."""

    @property
    def takes_single_rows(self) -> bool:
        """Each of its rows takes a slot of its own."""

    def wake_up(self) -> None:
        """Have it look again."""


@dataclass(slots=True)
class WaitingList:
    """Lanes that are woken together, in the order in which they came."""

    waiters: list[Waiter] = field(default_factory=list)

    def add(self, waiter: Waiter) -> None:
        """Once, however often it asks."""
        if waiter not in self.waiters:
            self.waiters.append(waiter)

    def wake_all(self) -> None:
        """Each may join the list again."""
        waiters, self.waiters = self.waiters, []
        for waiter in waiters:
            waiter.wake_up()


@dataclass(slots=True)
class Slots:
    """The calls that may be under way at a time; the lanes of one account share them. Used on the loop only.

    A slot is taken from the moment a row is claimed for it, or a commit starts that may bring one, until the row's I/O
    has ended.
    """

    limit: int
    used: int = 0
    used_by: Counter[Stage] = field(default_factory=Counter)
    waiting: WaitingList = field(default_factory=WaitingList)
    offered: bool = False  #: the waiting lanes will be woken in a moment

    def take(self, stage: Stage, count: int) -> None:
        """Take ``count`` more; a negative count gives back."""
        self.used += count
        self.used_by[stage] += count

    def free(self, stage: Stage) -> None:
        """Give one back, and offer it."""
        self.take(stage, -1)
        self.offer()

    @contextmanager
    def hold(self, stage: Stage, count: int) -> Iterator[None]:
        """Hold slots for rows that are on their way. Rows that are started meanwhile take slots of their own."""
        self.take(stage, count)
        try:
            yield
        finally:
            self.take(stage, -count)
            self.offer()

    def offer(self) -> None:
        """Wake the waiting lanes if a slot is free.

        Slots that single rows gave back are gathered for a moment, so that a claim fetches several. All lanes wait for
        that moment: otherwise a lane that need not wait would always be first.
        """
        if self.waiting.waiters and self.used < self.limit and not self.offered:
            self.offered = True
            gather = any(waiter.takes_single_rows for waiter in self.waiting.waiters)
            asyncio.get_running_loop().call_later(REFILL_SECONDS if gather else 0.0, self._wake_waiting)

    def _wake_waiting(self) -> None:
        self.offered = False
        self.waiting.wake_all()

    def free_for(self, stage: Stage, spare: int) -> int:
        """How many a stage may take if it leaves ``spare`` slots to the stages that share them.

        With a single shared slot the stage gets none while it is offered to a lane that waits.
        """
        if self.offered and spare >= self.limit:
            return 0
        spare = min(spare, self.limit - 1)
        return min(self.limit - self.used, self.limit - spare - self.used_by[stage])
