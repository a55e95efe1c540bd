"""How a writer meets locked rows: it hopes for none, and is careful for a while after it met one."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from sqlalchemy.exc import OperationalError

from workers.store.bulk import Locks
from workers.store.database import Database, is_locked_out

#: How long to look for locks first, after one had to be waited for: the next batch may meet it too.
CAREFUL_SECONDS = 30.0
SLOW_SECONDS = 0.5  #: a transaction that failed at a lock after this long had waited for it

Done = TypeVar("Done")


class Patience:
    """Shared by all writers of a store: a lock that one has met, the next may meet too."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._careful_until = 0.0

    def at_once(self, do: Callable[[Locks], Done], do_carefully: Callable[[], Done]) -> Done:
        """Try ``do``, which fails at a lock, then ``do_carefully``, which costs a few more statements."""
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
