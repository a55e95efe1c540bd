"""How a writer meets rows that somebody else keeps locked: at once, and carefully for a while after a lock."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from sqlalchemy.exc import OperationalError

from workers.store.bulk import Locks
from workers.store.database import Database, is_locked_out

#: After a lock that was waited for, what is locked is looked for first for so long: the next batch may meet it too.
CAREFUL_SECONDS = 30.0
SLOW_SECONDS = 0.5  #: a transaction that failed at a lock after that had waited for it

Done = TypeVar("Done")


class Patience:
    """Shared by all writers of a store: what one has met, the next may meet too."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._careful_until = 0.0

    def at_once(self, do: Callable[[Locks], Done], do_carefully: Callable[[], Done]) -> Done:
        """Carefully only where something is locked: that costs a few statements more."""
        begun_at = time.monotonic()
        if self._database.is_postgresql and begun_at < self._careful_until:
            return do_carefully()
        try:
            return do("at once")
        except OperationalError as error:
            if not is_locked_out(error):
                raise
        if time.monotonic() - begun_at > SLOW_SECONDS:
            self.remember()
        return do_carefully()

    def remember(self) -> None:
        """A lock was met."""
        self._careful_until = time.monotonic() + CAREFUL_SECONDS
