"""Redis remembers the highest epoch, which a restored backup of the database does not know."""

from __future__ import annotations

from typing import cast

from redis import Redis

# KEYS: mark. ARGV: epoch. The mark never falls.
_RAISE = """
local kept = redis.pcall('GET', KEYS[1])
if type(kept) ~= 'string' or (tonumber(kept) or 0) < tonumber(ARGV[1]) then redis.call('SET', KEYS[1], ARGV[1]) end
return 0
"""


class EpochMark:
    """Raises ``redis.RedisError`` while Redis is away."""

    def __init__(self, client: Redis, stream: str) -> None:
        """The mark is kept under ``<stream>:epoch``, the publisher's fence under ``<stream>:fence``."""
        self._client = client
        self._mark, self._fence = f"{stream}:epoch", f"{stream}:fence"

    def read(self) -> int:
        """The highest epoch that has begun; 0 if there is none, or the mark is no number."""
        kept = cast("bytes | None", self._client.get(self._mark))
        return int(kept) if kept is not None and kept.isdigit() else 0

    def raise_to(self, epoch: int) -> None:
        """Remember an epoch before it begins. One that is never used does no harm."""
        self._client.register_script(_RAISE)(keys=[self._mark], args=[epoch])

    def lift_fence(self) -> None:
        """Remove the fence; the next publisher sets a new one. One from before the restore only repeats events."""
        self._client.delete(self._fence)
