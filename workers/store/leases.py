"""Claims as transactions. Where the database's clock may have been set, a second one takes only what nobody holds. How
long a lease lasts, each stage says (``workers/stages``)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import structlog
from sqlalchemy import Connection

from workers.store.agenda import Lost, lease_clock
from workers.store.clock import ClockInDoubt
from workers.store.database import Database

#: A clock that nobody watches holds up lost rows for at most this long; then it is believed after all.
DOUBT_SECONDS = 60.0
#: A doubt that was not met again for this long is over.
DOUBT_ENDS_SECONDS = 5.0

Held = TypeVar("Held")
#: Claims rows in a transaction; the second argument says what to do with those whose lease has run out.
Take = Callable[[Connection, Lost], list[Held]]

log = structlog.get_logger()


class Leases:
    """Takes leases, and remembers since when the clock has been in doubt."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._doubts: tuple[float, float] | None = None  #: since when, and the last; by ``lease_clock``

    def take(self, take: Take[Held]) -> list[Held]:
        """What ``take`` claims."""
        try:
            with self._database.transaction() as connection:
                return take(connection, "ask")
        except ClockInDoubt:
            lost: Lost = "take" if self._doubted_for_long() else "leave"
        with self._database.transaction() as connection:
            return take(connection, lost)

    def _doubted_for_long(self) -> bool:
        now = lease_clock()
        since, last = self._doubts or (now, now)
        if now - last > DOUBT_ENDS_SECONDS:
            since = now
        self._doubts = since, now
        if now - since < DOUBT_SECONDS:
            return False
        log.warning("clock.unwatched", seconds=round(now - since), consequence="leases are taken to be over as it says")
        return True
