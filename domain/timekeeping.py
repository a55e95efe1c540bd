"""Whether a clock that anybody may set is running as it should. Pure: readings are arguments."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from domain.decision import Stage

#: A smaller deviation is no step: readings take time, and clocks are slewed. Every lease leaves more for its commit.
TOLERANCE_SECONDS = 2.0
#: If a process found the clock right no longer ago than this, it is still trusted.
TRUSTED_SECONDS = 5.0
#: How long a process that has just started waits for one that knows, if the last look was longer ago than that.
PATIENCE_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Reading:
    """What the clock said at a moment between ``asked_at`` and ``told_at``, which are by a clock that nobody sets."""

    time: datetime
    asked_at: float
    told_at: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """``stepped``: it was set, by at least ``by_seconds``. ``unsure``: it may have been set while nobody looked."""

    state: Literal["steady", "stepped", "unsure"]
    by_seconds: float = 0.0


def deviation(before: Reading, after: Reading) -> float:
    """By how many seconds the clock deviated between two readings, at least."""
    passed = (after.time - before.time).total_seconds()
    at_most, at_least = after.told_at - before.asked_at, after.asked_at - before.told_at
    if passed > at_most:
        return passed - at_most
    return min(passed - at_least, 0.0)


def assess_clock(seen_at: datetime | None, now: Reading, before: Reading | None, waited_seconds: float) -> Verdict:
    """What a reading tells. ``seen_at``: when a process last found the clock right, by that clock.

    ``before``: this process's own last reading, if it has one; ``waited_seconds``: since it first was unsure. A clock
    behind ``seen_at`` was certainly set back. One that is ahead may just not have been looked at: only a process that
    has counted the seconds meanwhile can tell.
    """
    if seen_at is None:
        return Verdict("steady")
    age = (now.time - seen_at).total_seconds()
    off = deviation(before, now) if before else 0.0
    if age < -TOLERANCE_SECONDS:
        return Verdict("stepped", min(off, age))
    if age <= TRUSTED_SECONDS:
        return Verdict("steady")
    if abs(off) > TOLERANCE_SECONDS:
        return Verdict("stepped", off)
    return Verdict("steady" if before or waited_seconds >= PATIENCE_SECONDS else "unsure")


def moved(stage: Stage, due_at: datetime, *, leased: bool, by: timedelta, now: datetime, lease: timedelta) -> datetime:
    """When a row is due after the clock was set back by ``by`` (negative): after the same wait as before.

    The times of stage CLOCK are no waits: they stay. So does a lease of at most ``lease``, the longest: it may be new.
    """
    if leased:
        return max(due_at + by, now) if due_at > now + lease else due_at
    return due_at if stage is Stage.CLOCK else min(due_at, max(due_at + by, now))
