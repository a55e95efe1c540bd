"""Group commit: what several threads bring at the same time shares a transaction."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from workers.store.database import UNAVAILABLE, may_be_its_own

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(slots=True)
class _Waiting(Generic[Item, Result]):
    """One caller's items, and what became of them."""

    items: Sequence[Item]
    results: list[Result] | None = None
    error: Exception | None = None

    @property
    def is_done(self) -> bool:
        return self.results is not None or self.error is not None


class GroupCommit(Generic[Item, Result]):
    """Hands the items of several threads to ``write`` together, which returns a result for each. All return after the
    commit.

    While one thread writes, the others wait for the lock; the next to get it writes whatever has gathered, its own
    items and theirs. Nobody waits for more than two transactions, and a thread alone does not wait at all.
    """

    def __init__(self, write: Callable[[Sequence[Item]], list[Result]]) -> None:
        self._write_all = write
        self._gathered: list[_Waiting[Item, Result]] = []
        self._gathering = threading.Lock()
        self._writing = threading.Lock()

    def add(self, items: Sequence[Item]) -> list[Result]:
        """What became of these items. Raises what writing them raised, never what somebody else's items did."""
        mine: _Waiting[Item, Result] = _Waiting(items)
        with self._gathering:
            self._gathered.append(mine)
        with self._writing:
            if not mine.is_done:
                self._lead(mine)
        if mine.error is not None:
            raise mine.error
        if mine.results is None:
            raise RuntimeError("nobody wrote these items")
        return mine.results

    def _lead(self, mine: _Waiting[Item, Result]) -> None:
        """Write what has gathered. A thread that can't (it is being ended, say) leaves the others' items to the
        next."""
        with self._gathering:
            group, self._gathered = self._gathered, []
        try:
            self._write(group)
        except BaseException:
            with self._gathering:
                self._gathered = [one for one in group if one is not mine and not one.is_done] + self._gathered
            raise

    def _write(self, group: Sequence[_Waiting[Item, Result]]) -> None:
        try:
            results = iter(self._write_all([item for one in group for item in one.items]))
        except Exception as error:  # noqa: BLE001 - handed to those whose items they were
            if len(group) > 1 and (may_be_its_own(error) or not isinstance(error, UNAVAILABLE)):
                for one in group:  # one caller's items may be the reason: alone, only they fail
                    self._write([one])
                return
            for one in group:
                one.error = error
        else:
            for one in group:
                one.results = [next(results) for _ in one.items]
