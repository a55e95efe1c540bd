"""How fast things went of late: samples, and what they come to. Pure."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import NamedTuple

#: The share of things that are no slower than what is told.
SHARE = 0.99


class Sample(NamedTuple):
    """One thing that took ``seconds`` and was done, or was not done yet, ``at``. ``endpoint``: of a webhook."""

    account: str
    at: datetime
    seconds: float
    endpoint: str | None = None


@dataclass(frozen=True, slots=True)
class Speed:
    """Samples from ``since`` on: one of every ``step`` things that went on."""

    goal_seconds: float
    since: datetime
    step: int
    samples: Sequence[Sample]

    def within(self, accounts: Collection[str], endpoints: Collection[str]) -> Speed:
        """Of these accounts, and of webhooks to these endpoints, only."""
        samples = [
            one
            for one in self.samples
            if one.account in accounts and (one.endpoint is None or one.endpoint in endpoints)
        ]
        return replace(self, samples=samples)

    def overall(self) -> float | None:
        """The seconds that all but one in a hundred stay within; None without any."""
        return at_most([one.seconds for one in self.samples])

    def over_time(self, until: datetime, slots: int) -> list[float | None]:
        """The same for each of ``slots`` equal spans of time up to ``until``."""
        span = max(until - self.since, timedelta(microseconds=1))
        found: list[list[float]] = [[] for _ in range(slots)]
        for one in self.samples:
            place = int((one.at - self.since) / span * slots)
            found[min(max(place, 0), slots - 1)].append(one.seconds)
        return [at_most(values) for values in found]


def at_most(values: Collection[float]) -> float | None:
    """The value that all but one in a hundred stay within; None without any."""
    if not values:
        return None
    return sorted(values)[math.ceil(SHARE * len(values)) - 1]
