"""Instants and zones as people name them for a report. Pure."""

from __future__ import annotations

import re
from datetime import UTC, datetime, tzinfo
from zoneinfo import ZoneInfo

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_TIME = re.compile(r"\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}(:\d{2}([.]\d{1,9})?)?([Zz]|[+-]\d{2}:\d{2})?", re.ASCII)


def read_zone(name: str) -> tzinfo:
    """A zone of the IANA's list. Raises ValueError."""
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (OSError, ValueError):  # ZoneInfoNotFoundError is a KeyError
        pass
    except KeyError:
        pass
    raise ValueError(f"{name[:60]!r} is no zone that this machine knows: give UTC or a name such as Europe/Berlin")


def read_instant(text: str, zone: tzinfo) -> datetime:
    """A date is the first instant of that day in the zone; a time that names no offset is of the zone too. In UTC.

    A time that a clock shows twice is the first of the two. Raises ValueError.
    """
    text = text.strip()
    try:
        if _DATE.fullmatch(text) or _TIME.fullmatch(text):
            found = datetime.fromisoformat(text.upper())
            return (found if found.tzinfo else found.replace(tzinfo=zone)).astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise ValueError(f"{text[:60]!r} is neither a date such as 2026-11-01 nor a time such as 2026-11-01T00:00:00+01:00")
