"""Times for the eye, and those of a browser's field. A page says UTC; a script of it adds the browser's own zone."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from domain.event import format_time

_UNITS = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))
_SHORT_GERMAN = {"d": "Tg.", "h": "Std.", "min": "Min.", "s": "s"}
_OF_A_FIELD = re.compile(r"(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d(?::\d\d(?:\.\d{1,6})?)?)Z?)?", re.ASCII)


def read_field(name: str, text: str) -> datetime:
    """A day, or a time as a browser's field gives it, in UTC. Raises ValueError, which says what is allowed."""
    found = _OF_A_FIELD.fullmatch(text)
    try:
        if found is None:
            raise ValueError
        return datetime.fromisoformat(f"{found[1]}T{found[2] or '00:00'}").replace(tzinfo=UTC)
    except ValueError:
        raise ValueError(f"{name}: must be a time such as 2026-11-29T20:16, in UTC") from None


def format_instant(time: datetime | str, form: str = "time") -> str:
    """``time`` 20:36:12, ``date`` 28 Nov 2026, ``both`` 28 Nov 2026 20:36:12, ``full`` with milliseconds; in UTC."""
    if isinstance(time, str):
        time = datetime.fromisoformat(time)
    day = f"{time.day} {time:%b %Y}"
    shown = {"time": f"{time:%H:%M:%S}", "date": day, "both": f"{day} {time:%H:%M:%S}"}
    if form == "iso":
        return format_time(time)
    return shown[form] if form in shown else f"{day} {time:%H:%M:%S}.{time.microsecond // 1000:03}"


def duration(language: str, length: timedelta | float) -> str:
    """``19 min 44 s``: two units at most."""
    seconds = length.total_seconds() if isinstance(length, timedelta) else length
    if seconds < 1:
        return f"{max(seconds, 0) * 1000:.0f} ms"
    left, parts = int(seconds), []
    for name, worth in _UNITS:
        number, left = divmod(left, worth)
        if number:
            parts.append(f"{number} {_SHORT_GERMAN[name] if language == 'de' else name}")
        if len(parts) == 2 or (parts and not number):
            break
    return " ".join(parts)


def short_seconds(language: str, seconds: float) -> str:
    """``0.41 s``, ``3.1 s``, ``42 s``, ``1 min 30 s``, ``19 min``: as much as a figure at a glance needs."""
    if seconds >= 60:
        number, unit, *_ = words = duration(language, seconds).split(" ")
        return f"{number} {unit}" if int(number) >= 10 else " ".join(words)
    if seconds < 0.1:
        return f"{seconds * 1000:.0f} ms"
    number = f"{seconds:.0f}" if seconds >= 10 or seconds == int(seconds) else f"{seconds:.2g}"
    return f"{number.replace('.', ',') if language == 'de' else number} s"
