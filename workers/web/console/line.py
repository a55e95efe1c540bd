"""A line of an invoice's history, as it is shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from workers.web.console.pieces import Pieces

Tab = Literal["order", "evidence", "decisions", "events", "attempts", "operators"]
TABS: tuple[Tab, ...] = ("evidence", "decisions", "events", "attempts", "operators")


@dataclass(frozen=True, slots=True, kw_only=True)
class Raw:
    """Somebody's own words: where they are shown, and how many bytes they have."""

    path: str
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """Something that happened. ``name``: unique on the page, and the same as long as the thing is."""

    at: datetime
    tab: Tab
    name: str
    icon: str
    badge: str | None = None
    title: str | None = None  #: of ours: translated
    pieces: Pieces = ()
    tone: str = ""
    verdict: str | None = None
    repeats: int = 0
    last_at: datetime | None = None
    raw: Raw | None = None
    milliseconds: int | None = None
    aside: Pieces = ()
    quote: str | None = None  #: an operator's reason
    who: str | None = None
    before: str | None = None  #: a decision's statuses
    after: str | None = None
    anomaly: str | None = None
    folded: Sequence[Line] = ()
    count: int = 1  #: of what ``folded`` stands for


def raw_of(kind: str, number: int, content: bytes) -> Raw:
    """Where these words of somebody's are shown whole."""
    return Raw(path=f"{kind}/{number}", size=len(content))
