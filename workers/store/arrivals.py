"""What comes in from outside: orders, messages that are rejected, callbacks."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from domain.decision import Stage
from domain.order import Order
from workers.store import callbacks, intake
from workers.store.agenda import Lane
from workers.store.callbacks import NewCallback
from workers.store.database import Database
from workers.store.group import GroupCommit
from workers.store.intake import Added, Rejection

#: An order and its provider's name, or what was turned away.
Item = tuple[Order, str] | Rejection
Ring = Callable[[set[Lane]], None]


class Arrivals:
    """Writes what comes in, and rings its doorbells after the commit."""

    def __init__(self, database: Database, ring: Ring) -> None:
        self._database = database
        self._ring = ring
        self._intake = GroupCommit(self._take_in)

    def take_in(self, items: Sequence[Item]) -> list[Added | None]:
        """What came of (order, provider name) pairs; None for each rejection among them."""
        return self._intake.add(items)

    def _take_in(self, items: Sequence[Item]) -> list[Added | None]:
        with self._database.transaction() as connection:
            results, lanes = intake.take_in(connection, self._database.now(connection), items)
        self._ring(lanes)
        return results

    def keep_callbacks(self, found: Sequence[NewCallback]) -> list[bool]:
        """Whether each is new. One statement: the web process has gathered them."""
        with self._database.single() as connection:
            kept = callbacks.keep(connection, self._database, found)
        fresh = {one.account for one, is_new in zip(found, kept, strict=True) if is_new}
        self._ring({(Stage.CALLBACK, account) for account in fresh})
        return kept
