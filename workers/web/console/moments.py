"""Times as people write them into a filter: one of a clock, or an age."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def read_moment(text: str, now: datetime) -> datetime | None:
    """``2026-11-28``, ``2026-11-28T20:36:12Z`` (UTC where no zone is named), or how long ago: 90s, 30m, 12h, 7d. None:
    it is none of these."""
    text = text.strip()
    try:
        if text[-1:] in _UNITS and text[:-1].isascii() and text[:-1].isdigit():
            return now - timedelta(**{_UNITS[text[-1]]: int(text[:-1])})
        time = datetime.fromisoformat(text)
        return (time if time.tzinfo else time.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
