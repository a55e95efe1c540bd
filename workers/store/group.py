"""Group commit: orders that arrive one by one, side by side, share transactions."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from workers.store.database import UNAVAILABLE
from workers.store.intake import Added

Orders = Sequence[tuple[Any, str]]  #: (order, provider name)


@dataclass(slots=True)
class _Waiting:
    """One caller's orders, and what became of them."""

    orders: Orders
    added: list[Added] | None = None
    error: Exception | None = None


class GroupCommit:
    """Hands the orders of several threads to ``add_orders`` together; each returns after its commit.

    While one thread writes, the others queue up for the lock; the next to get it writes what has gathered, its own and
    theirs. Nobody waits longer than for two transactions, and alone nobody waits at all.
    """

    def __init__(self, add_orders: Callable[[Orders], list[Added]]) -> None:
        self._add_orders = add_orders
        self._gathered: list[_Waiting] = []
        self._gathering = threading.Lock()
        self._writing = threading.Lock()

    def add(self, orders: Orders) -> list[Added]:
        """What became of these orders. Raises what writing them raised, never what somebody else's orders did."""
        mine = _Waiting(orders)
        with self._gathering:
            self._gathered.append(mine)
        with self._writing:
            if mine.added is None and mine.error is None:
                with self._gathering:
                    group, self._gathered = self._gathered, []
                self._write(group)
        if mine.error is not None:
            raise mine.error
        return mine.added or []

    def _write(self, group: Sequence[_Waiting]) -> None:
        try:
            added = iter(self._add_orders([order for one in group for order in one.orders]))
        except Exception as error:  # noqa: BLE001 - handed to those whose orders they were
            if len(group) > 1 and not isinstance(error, UNAVAILABLE):
                for one in group:  # somebody's order does it: alone, it fails alone
                    self._write([one])
                return
            for one in group:
                one.error = error
        else:
            for one in group:
                one.added = [next(added) for _ in one.orders]
