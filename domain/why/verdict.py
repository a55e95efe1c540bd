"""Whether the system as a whole works: what is late, by cause, and the verdict on that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from domain.why.cause import Cause
from domain.why.processes import WORKER, Crew

#: Stalled: work has been due for this long, and no worker has committed anything for as long.
STALLED_AFTER = timedelta(seconds=60)
#: Roles that are missed if they are gone. Beat is not: without it nothing is late by more than a second.
NEEDED = ("intake", "web", WORKER)
#: Rejected messages are listed, so none is lost: no failure of the system's.
_HARMLESS = frozenset({Cause.REJECTED_MESSAGE})


class Verdict(StrEnum):
    """How the system does."""

    OK = "OK"
    DEGRADED = "DEGRADED"
    STALLED = "STALLED"


@dataclass(frozen=True, slots=True)
class Late:
    """What is late for one cause. ``example``: an order that ``invoices why`` takes. ``of_none``: how many of ``count``
    are webhooks of no invoice."""

    cause: Cause
    count: int
    oldest_since: datetime | None
    example: str | None
    of_none: int = 0


def assess_health(late: Sequence[Late], crew: Crew, due_since: datetime | None) -> Verdict:
    """The verdict. ``due_since``: since when the oldest work is due that running workers have not taken up."""
    if not crew.alive(WORKER) or _stands_still(crew, due_since):
        return Verdict.STALLED
    if crew.missed(NEEDED) or any(one.cause not in _HARMLESS for one in late):
        return Verdict.DEGRADED
    return Verdict.OK


def _stands_still(crew: Crew, due_since: datetime | None) -> bool:
    if due_since is None or crew.now - due_since <= STALLED_AFTER:
        return False
    moved_at = crew.moved_at()
    return moved_at is None or crew.now - moved_at > STALLED_AFTER
