"""Requests per second of each token that has a limit: a token bucket that holds one second's worth, per process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal


@dataclass(slots=True)
class _Bucket:
    left: float
    at: float


class Limits:
    """The buckets by token. Only valid tokens have one, so there are few."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._buckets: dict[str, _Bucket] = {}

    def take(self, token_id: str, per_second: Decimal) -> float:
        """0 where a request may go on; otherwise the seconds to wait."""
        rate, bucket = float(per_second), self._fill(token_id, per_second)
        if bucket.left < 1:
            return (1 - bucket.left) / rate
        bucket.left -= 1
        return 0.0

    def spend(self, token_id: str, per_second: Decimal, more: int) -> None:
        """Count ``more`` requests for one that went on; later ones wait for all of them."""
        self._fill(token_id, per_second).left -= more

    def _fill(self, token_id: str, per_second: Decimal) -> _Bucket:
        rate, now = float(per_second), self._clock()
        size = max(1.0, rate)
        bucket = self._buckets.setdefault(token_id, _Bucket(size, now))
        bucket.left = min(size, bucket.left + (now - bucket.at) * rate)
        bucket.at = now
        return bucket
