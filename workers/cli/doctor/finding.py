"""What a check found, and how it words times, numbers and errors."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Literal

from workers.cli import text

State = Literal["ok", "note", "wrong"]

LONGEST_DETAIL = 600
LONGEST_ERROR = 200


@dataclass(frozen=True, slots=True)
class Finding:
    """One line for a person on call: what, since when, what to do. ``note``: worth knowing, but no failure.

    ``cause`` is a short name for programs, the same in every release.
    """

    check: str  #: what was looked at: ``database``, ``account shop``, ``endpoint ep_…``
    state: State
    detail: str
    cause: str | None = None
    since: datetime | None = None
    count: int | None = None
    command: str | None = None  #: that helps

    def fields(self) -> dict[str, object]:
        """As JSON has it."""
        return {name: getattr(self, name) for name in self.__slots__}

    def safe(self) -> Finding:
        """The same without a secret, on one line, of bounded length."""
        from config.logging import hide_secrets

        line = " ".join(hide_secrets(self.detail).split())
        if len(line) > LONGEST_DETAIL:
            line = f"{line[: LONGEST_DETAIL // 2]}…{line[-LONGEST_DETAIL // 2 :]}"
        return replace(self, detail="".join(c if c.isprintable() else "?" for c in line))


def ago(since: datetime, now: datetime) -> str:
    """How long something has lasted: 40 s, 12 min, 3 h, 5 d."""
    return lasting((now - since).total_seconds())


def lasting(seconds: float) -> str:
    """A time span, rounded for a person."""
    for unit, length in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"


def clock(time: datetime) -> str:
    """A time with its date: 2026-11-29 00:12 UTC."""
    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def counted(number: int, one: str, many: str | None = None, *, most: int | None = None) -> str:
    """``1 order``, ``2,000 orders``; ``10,000+ orders`` for ``most``, which may be more."""
    return text.counted(f"{number:,}{'+' if number == most else ''}", one, many or f"{one}s")


def told(error: BaseException) -> str:
    """An error in its own words: one short line, without an SQL statement and its parameters."""
    words = " ".join(str(getattr(error, "orig", None) or error).split())[:LONGEST_ERROR]
    return words or type(error).__name__
