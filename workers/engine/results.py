"""Results that wait for their commit, and those that were set aside because somebody else has their rows locked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Generic

from workers.engine.slots import Slots
from workers.engine.work import Outcome

#: Between tries of what was set aside: our own transactions are over in a moment, an outsider's may take minutes.
ASIDE_SECONDS: tuple[float, ...] = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0)
ASIDE_LIMIT = 2000  #: results in memory; of more, the oldest are left to their leases or to the table that keeps them
BARRED_LIMIT = 20  #: with more results locked out than this, nothing of the stage seems to be writable


@dataclass(slots=True, eq=False)
class Result(Generic[Outcome]):
    """What a stage's I/O has brought. Used on the loop only."""

    value: Outcome
    added_at: float  #: by the loop's time
    held: Slots | None = None  #: a slot that is free once the result is committed, or set aside
    kept_at: float | None = None  #: its lease was renewed, and what can't be had again is kept


@dataclass(slots=True)
class Group(Generic[Outcome]):
    """Results that are tried again together."""

    results: list[Result[Outcome]]
    barred: bool  #: locked out together, by a table or a key: tried by themselves, in ever smaller groups
    due_at: float
    tries: int = 0


@dataclass(slots=True)
class Aside(Generic[Outcome]):
    """What was set aside, in groups."""

    groups: list[Group[Outcome]] = field(default_factory=list)

    def add(self, results: Sequence[Result[Outcome]], now: float, *, barred: bool, tries: int = 0) -> None:
        """Have them tried again, after a wait that grows with the tries."""
        wait = ASIDE_SECONDS[min(tries, len(ASIDE_SECONDS) - 1)]
        self.groups.append(Group(list(results), barred, now + wait, tries))

    def take(self, now: float, limit: int) -> Group[Outcome] | None:
        """What is due: a barred group by itself, of the others as many as a transaction takes."""
        due = sorted((group for group in self.groups if group.due_at <= now), key=lambda group: group.due_at)
        if not due:
            return None
        taken = due[:1]
        if not due[0].barred:
            for group in due[1:]:
                if not group.barred and sum(len(one.results) for one in taken) + len(group.results) <= limit:
                    taken.append(group)
        self.groups = [group for group in self.groups if group not in taken]
        results = [result for group in taken for result in group.results]
        return Group(results, due[0].barred, now, max(group.tries for group in taken))

    def next_in(self, now: float) -> float | None:
        """Seconds until something is due; None where nothing is set aside."""
        return max(0.0, min(group.due_at for group in self.groups) - now) if self.groups else None

    @property
    def size(self) -> int:
        """How many results there are."""
        return sum(len(group.results) for group in self.groups)

    @property
    def barred(self) -> int:
        """How many of them are barred."""
        return sum(len(group.results) for group in self.groups if group.barred)

    @property
    def unkept(self) -> int:
        """How many of them are in this process's memory only."""
        return sum(result.kept_at is None for group in self.groups for result in group.results)

    def drop_oldest(self, repeatable: bool) -> list[Result[Outcome]]:
        """Remove the oldest beyond the limit, of those that can be had again: kept ones, or all if ``repeatable``."""
        too_many = self.size - ASIDE_LIMIT
        if too_many <= 0:
            return []
        loose = [one for group in self.groups for one in group.results if repeatable or one.kept_at is not None]
        dropped = sorted(loose, key=lambda result: result.added_at)[:too_many]
        gone = set(map(id, dropped))
        for group in self.groups:
            group.results = [result for result in group.results if id(result) not in gone]
        self.groups = [group for group in self.groups if group.results]
        return dropped
