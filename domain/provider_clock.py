"""A provider's times compared with ours: how far its clock is off, and when an invoice really expires."""

from __future__ import annotations

import dataclasses
from datetime import datetime, timedelta
from typing import TypeVar

from domain.account import MAX_LIFETIME_MINUTES
from domain.evidence import Created

#: Clocks that differ by no more than this count as equal.
TOLERANCE = timedelta(minutes=1)
LONGEST = timedelta(minutes=MAX_LIFETIME_MINUTES)

Made = TypeVar("Made", bound=Created)


def settle_times(made: Made, asked_at: datetime, answered_at: datetime) -> Made:
    """The answer with an expiry that holds by our clock. ``asked_at`` and ``answered_at`` are the database's.

    If the provider's ``date`` lies outside the call by more than TOLERANCE, its clock is off, or ours. If it is behind,
    or the invoice would be expired from the start, the lifetime is counted from the answer on, and the provider's
    expiry is kept beside it. Without a lifetime there is no expiry here: the account's policy gives one. If the
    provider's clock is ahead, its expiry stays: it comes late, never early.
    """
    off = _off(made.made_at, asked_at, answered_at)
    told = made.expires_at
    if told is not None and not _is_believed(made, off, told, answered_at):
        span = _lifetime(made) or _distance(made.made_at, told)
        if span is not None or told <= answered_at:
            expires_at = None if span is None else answered_at + span
            made = dataclasses.replace(made, expires_at=expires_at, disbelieved_expires_at=told)
    # A ``date`` that agrees adds nothing to the evidence.
    if off is None and made.made_at is None and made.clock_off_seconds is None:
        return made
    seconds = None if off is None else round(off.total_seconds())
    return dataclasses.replace(made, made_at=None if off is None else made.made_at, clock_off_seconds=seconds)


def _off(made_at: datetime | None, asked_at: datetime, answered_at: datetime) -> timedelta | None:
    """How far the provider's clock is ahead of ours (negative: behind); None if they agree, or nobody knows."""
    if made_at is None or asked_at - TOLERANCE <= made_at <= answered_at + TOLERANCE:
        return None
    return made_at - (asked_at if made_at < asked_at else answered_at)


def _is_believed(made: Created, off: timedelta | None, told: datetime, answered_at: datetime) -> bool:
    if told <= answered_at:
        return False
    if off is None or off > timedelta(0):
        return True
    lifetime = _lifetime(made)
    return lifetime is not None and abs(told - answered_at - lifetime) <= TOLERANCE  # only its ``date`` is odd


def _lifetime(made: Created) -> timedelta | None:
    minutes = made.lifetime_minutes
    return timedelta(minutes=float(minutes)) if minutes is not None and 0 < minutes <= MAX_LIFETIME_MINUTES else None


def _distance(made_at: datetime | None, told: datetime) -> timedelta | None:
    """The time between the two. Both are by the provider's clock, so it is right whatever that clock shows."""
    if made_at is None or not timedelta(0) < told - made_at <= LONGEST:
        return None
    return told - made_at
