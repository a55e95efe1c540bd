"""A time as people give it: in RFC 3339, or how long ago. Pure."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def read_moment(text: str, now: datetime) -> datetime:
    """UTC where it names no zone; an age such as 90s, 30m, 12h, 7d is as long before ``now``. Raises ValueError."""
    text = text.strip()
    try:
        if text[-1:] in _UNITS and text[:-1].isascii() and text[:-1].isdecimal():
            return now - timedelta(**{_UNITS[text[-1]]: int(text[:-1])})
        time = datetime.fromisoformat(text)
        return (time if time.tzinfo else time.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError(
            f"{text[:60]!r} is neither a time such as 2026-11-21T20:19:00Z nor an age such as 30m, 12h or 7d"
        ) from None
