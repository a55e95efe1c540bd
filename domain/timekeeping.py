"""Whether a clock that anybody may set goes on as it should. Pure: readings are handed in."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from domain.decision import Stage

#: So much is no step: readings take time, and clocks are slewed. Every lease leaves more for its commit.
TOLERANCE_SECONDS = 2.0
#: Somebody found the clock right so long ago at most, and its time is still right.
TRUSTED_SECONDS = 5.0
#: Whoever starts and finds that nobody has looked for longer waits for those who may have been running.
PATIENCE_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Reading:
    """What the clock said at some moment between two seconds of a host that nobody sets."""

    time: datetime
    asked_at: float
    told_at: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """``stepped``: by so many seconds, at least. ``unsure``: it may have been set while nobody looked."""

    state: Literal["steady", "stepped", "unsure"]
    by_seconds: float = 0.0


def deviation(before: Reading, after: Reading) -> float:
    """By how many seconds the clock went wrong between two readings, as far as that is certain."""
    passed = (after.time - before.time).total_seconds()
    at_most, at_least = after.told_at - before.asked_at, after.asked_at - before.told_at
    if passed > at_most:
        return passed - at_most
    return min(passed - at_least, 0.0)


def assess_clock(seen_at: datetime | None, now: Reading, before: Reading | None, waited_seconds: float) -> Verdict:
    """What a reading tells, given when somebody last found the clock right, by the same clock.

    ``before``: this process's own last reading, if it has one; ``waited_seconds``: since it first was unsure. A clock
    that is behind what it has said was set back, whoever looks. One that is ahead may simply not have been looked at:
    only who has counted the seconds meanwhile can tell.
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
    """When a row is due after the clock was set back by ``by`` (negative): as soon as it would have been.

    The times of the clock's stage are no waits and stay. A lease within the longest, ``lease``, may be a new one.
    """
    if leased:
        return max(due_at + by, now) if due_at > now + lease else due_at
    return due_at if stage is Stage.CLOCK else min(due_at, max(due_at + by, now))
