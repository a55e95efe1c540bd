"""Each worker compares the database's clock with its own count of seconds, once a second, and repairs leases and waits
where that clock was set."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from sqlalchemy import Connection

from domain.ports import Clock
from domain.timekeeping import TOLERANCE_SECONDS, Reading, Verdict, assess_clock, deviation
from workers.store.agenda import lease_clock
from workers.store.clock import ClockState, lock_clock, look_at_clock, read_clock, write_clock
from workers.store.database import Database, SystemClock
from workers.store.step_repair import move_page, prolong_leases

log = structlog.get_logger()

BEAT = timedelta(seconds=2)  #: how often it is written down, by any worker, that the clock is right
PAGES = 10  #: of the agenda, moved in one look; the next look goes on
WIDE_SECONDS = 1.0  #: a reading that took longer is too vague to compare later ones with


@dataclass(frozen=True, slots=True)
class _Look:
    """What came of a look in a transaction of its own."""

    reading: Reading
    verdict: Verdict
    rows: int = 0
    goes_on: bool = False  #: more rows are to be moved


class Timekeeper:
    """One process's watch over the database's clock. ``look`` is called by one thread at a time."""

    def __init__(self, database: Database, lease_seconds: float, clock: Clock | None = None) -> None:
        """``lease_seconds``: the longest that any lease lasts; ``clock``: this host's."""
        self._database = database
        self._lease = timedelta(seconds=lease_seconds)
        self._clock = clock or SystemClock()
        self._last: Reading | None = None
        self._unsure_since: float | None = None
        self._skewed = False

    def look(self) -> None:
        """Note that the clock is right, or repair what was planned by it. Raises what ``UNAVAILABLE`` names."""
        with self._database.glancing() as connection:
            asked_at = lease_clock()
            state, time = look_at_clock(connection, self._database)
            reading = Reading(time, asked_at, lease_clock())
            here = self._clock.now()
        self._tell_skew(here, reading)
        if state is not None and state.moving_by is None and self._is_fresh(state.seen_at, reading):
            self._keep(reading, Verdict("steady"))
            return
        for _ in range(PAGES):
            look = self._write()
            if look is None:
                return
            self._keep(look.reading, look.verdict)
            if look.verdict.state == "stepped":
                by = round(look.verdict.by_seconds, 1)
                log.warning(
                    "clock.stepped", by_seconds=by, leases_prolonged=look.rows, at=look.reading.time.isoformat()
                )
            if not look.goes_on:
                return

    def _is_fresh(self, seen_at: datetime, reading: Reading) -> bool:
        return timedelta(0) <= reading.time - seen_at < BEAT

    def _read(self, connection: Connection) -> Reading:
        asked_at = lease_clock()
        time = self._database.now(connection)
        return Reading(time, asked_at, lease_clock())

    def _write(self) -> _Look | None:
        """One transaction; None where there is nothing to write, or somebody else writes it."""
        with self._database.transaction() as connection:
            state = lock_clock(connection, self._database.now(connection))
            if state is None:
                return None
            reading = self._read(connection)
            verdict = assess_clock(state.seen_at, reading, self._last, self._waited(reading))
            if verdict.state == "unsure":
                self._unsure_since = self._unsure_since or reading.told_at
                return None
            return self._put_right(connection, state, reading, verdict)

    def _put_right(self, connection: Connection, state: ClockState, reading: Reading, verdict: Verdict) -> _Look:
        now, by = reading.time, timedelta(seconds=verdict.by_seconds)
        write_clock(connection, seen_at=now)
        if verdict.state == "steady":
            rows = move_page(connection, state, now, self._lease)
            return _Look(reading, verdict, rows, goes_on=_is_left(connection))
        ahead = by > timedelta(0)
        # Set ahead while waits are still being moved back: the rest is right again, and what was moved is early.
        back = None if ahead else (state.moving_by or timedelta(0)) + by
        write_clock(connection, stepped_at=now, stepped_by=by, moving_by=back, moved_to=None)
        rows = prolong_leases(connection, by, now, self._lease) if ahead else 0
        return _Look(reading, verdict, rows, goes_on=not ahead)

    def _waited(self, reading: Reading) -> float:
        return 0.0 if self._unsure_since is None else reading.told_at - self._unsure_since

    def _keep(self, reading: Reading, verdict: Verdict) -> None:
        """Remember the reading, unless it is vague and the last one still holds."""
        self._unsure_since = None
        vague = reading.told_at - reading.asked_at > WIDE_SECONDS
        if not (vague and verdict.state == "steady" and self._last and deviation(self._last, reading) == 0):
            self._last = reading

    def _tell_skew(self, here: datetime, reading: Reading) -> None:
        """Log once, until it is over, that this host's clock is off: signatures and providers' times go by it."""
        late = timedelta(seconds=reading.told_at - reading.asked_at)
        off = max(reading.time - here, here - late - reading.time).total_seconds()
        if off > TOLERANCE_SECONDS and not self._skewed:
            ahead = round((here - reading.time).total_seconds(), 1)
            log.warning("clock.skew", host_ahead_seconds=ahead, consequence="synchronise the clocks (NTP)")
        self._skewed = off > TOLERANCE_SECONDS or (self._skewed and off > TOLERANCE_SECONDS / 2)


def _is_left(connection: Connection) -> bool:
    state = read_clock(connection)
    return state is not None and state.moving_by is not None
