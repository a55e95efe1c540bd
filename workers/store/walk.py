"""A search of all rows of a large table, in the order of their numbers, some at a time.

Asked about millions of rows at once, PostgreSQL takes longer than a statement may, and whoever waits for its locks
waits as long. So a walk looks at a few portions, and goes on from there when it is asked again.
"""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import ColumnElement, Connection, func, select

LOOKED_AT = 10_000  #: rows, a portion
PORTIONS = 3  #: at a time: 30,000 positions are compared in some 20 ms


class Walk:
    """Along ``number``, the key of a table or an index of it. Where it is, only this process knows: another one begins
    at the first row."""

    def __init__(self, number: ColumnElement[int]) -> None:
        self._number = number
        self._next = 0

    def go(self, connection: Connection, end: int | None, act: Callable[[int, int], int]) -> int:
        """Call ``act`` with the first and the last number of the next portions below ``end``, until it returns how many
        rows it has dealt with: those are returned, and their portion comes again. At the end it begins anew."""
        for _ in range(PORTIONS):
            last = self._last(connection, end)
            if last is None:
                if not self._next:
                    break
                self._next = 0
            elif done := act(self._next, last):
                return done
            else:
                self._next = last + 1
        return 0

    def _last(self, connection: Connection, end: int | None) -> int | None:
        """The last number of the portion that is next; None: there is no row left."""
        portion = select(self._number).where(self._number >= self._next)
        if end is not None:
            portion = portion.where(self._number < end)
        numbers = portion.order_by(self._number).limit(LOOKED_AT).subquery()
        last: int | None = connection.execute(select(func.max(numbers.c[0]))).scalar_one()
        return last
