"""How many streams and snapshots may be under way: each keeps one of the process's connections."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from workers.web.problems import Problem

#: The rest stays free for orders, callbacks and health.
SHARE_OF_CONNECTIONS = 4 / 7
RETRY_SECONDS = 5


class Places:
    """Streams and snapshots under way. Used on one event loop."""

    def __init__(self, most: int, most_of_one: int | None = None) -> None:
        self._most = max(2, most)
        self._most_of_one = self._most // 2 if most_of_one is None else min(most_of_one, self._most)
        self._taken: Counter[str] = Counter()

    def __len__(self) -> int:
        return self._taken.total()

    @contextmanager
    def of(self, token_id: str) -> Iterator[None]:
        """A place for this token's answer. Raises Problem: 429 when the token has too many, 503 when none is left."""
        wait = {"retry-after": str(RETRY_SECONDS)}
        if self._taken[token_id] >= self._most_of_one:
            raise Problem(429, f"this token has {self._most_of_one} streams and snapshots under way", headers=wait)
        if len(self) >= self._most:
            raise Problem(503, f"{self._most} streams and snapshots are under way", headers=wait)
        self._taken[token_id] += 1
        try:
            yield
        finally:
            self._taken[token_id] -= 1
            if not self._taken[token_id]:
                del self._taken[token_id]
