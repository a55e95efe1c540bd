"""Requests a second of each token that has a limit: a bucket of a second's worth, for this process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal


@dataclass(slots=True)
class _Bucket:
    left: float
    at: float


class Limits:
    """The buckets by token. Only tokens that were right have one, so there are few."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._buckets: dict[str, _Bucket] = {}

    def take(self, token_id: str, per_second: Decimal, asked: int) -> float:
        """0 where the request may go on; else the seconds to wait.

        A list of many goes on where one would, and those after it wait for all of it.
        """
        rate, now = float(per_second), self._clock()
        size = max(1.0, rate)
        bucket = self._buckets.setdefault(token_id, _Bucket(size, now))
        bucket.left = min(size, bucket.left + (now - bucket.at) * rate)
        bucket.at = now
        if bucket.left < 1:
            return (1 - bucket.left) / rate
        bucket.left -= asked
        return 0.0
