"""How causes word times, numbers and quotations."""

from __future__ import annotations

from datetime import UTC, datetime

LONGEST_WORDS = 160


def at(time: datetime) -> str:
    """``2026-11-29 03:00:07 UTC``."""
    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def times(number: int) -> str:
    """``once``, ``twice``, ``3 times``."""
    return {1: "once", 2: "twice"}.get(number, f"{number} times")


def nth(number: int) -> str:
    """``1st``, ``2nd``, ``11th``."""
    ending = "th" if 10 <= number % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"


def quoted(words: str | None) -> str:
    """What somebody said, in brackets, on one line, not too long. Empty if nothing was said."""
    said = " ".join((words or "").split())
    return f" ({said if len(said) <= LONGEST_WORDS else said[: LONGEST_WORDS - 1] + '…'})" if said else ""


def counted(number: int, one: str, many: str) -> str:
    """``1 order is``, ``2,000 orders are``."""
    return f"{number:,} {one if number == 1 else many}"
