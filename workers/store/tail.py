"""Follows the events as they are committed, for people who watch."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from sqlalchemy import Connection, select

from workers.store.outbox import position_of_event
from workers.store.queries import last_event_number
from workers.store.rows import StoredRow
from workers.store.tables import EVENT

#: Event numbers are drawn before the commit, so a lower one may appear after a higher one. One that has not appeared
#: for this long belongs to a transaction that was rolled back (they end after 60 s at the latest).
GAP_SECONDS = 90.0
FETCH_ROWS = 2000  #: events at a time


class EventTail:
    """Yields each event once, late commits included, for as long as it is polled."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._floor: int | None = None  # everything up to it was seen, or will never come
        self._seen: set[int] = set()
        self._gap_since: float | None = None

    def start(self, connection: Connection) -> None:
        """Begin after the newest event there is now."""
        self._floor = last_event_number(connection)

    def poll(self, connection: Connection) -> Sequence[StoredRow]:
        """The events that were committed since the last poll, by number, each with its position, if it has one."""
        if self._floor is None:
            self.start(connection)
        place = position_of_event().label("position")
        query = select(EVENT, place).where(EVENT.c.number > self._floor).order_by(EVENT.c.number)
        if self._seen:
            query = query.where(EVENT.c.number.not_in(self._seen))
        rows = connection.execute(query.limit(FETCH_ROWS)).all()
        self._seen.update(row.number for row in rows)
        self._raise_floor()
        return rows

    def _raise_floor(self) -> None:
        before = self._floor or 0
        floor = self._over_seen(before)
        now = self._clock()
        if not self._seen or floor != before:
            self._gap_since = None
        if self._seen and self._gap_since is None:
            self._gap_since = now
        if self._seen and self._gap_since is not None and now - self._gap_since > GAP_SECONDS:
            floor = self._over_seen(min(self._seen) - 1)
            self._gap_since = None
        self._floor = floor

    def _over_seen(self, floor: int) -> int:
        while floor + 1 in self._seen:
            floor += 1
            self._seen.discard(floor)
        return floor
