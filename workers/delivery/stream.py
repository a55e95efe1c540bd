"""The Redis stream of events: each event at least once, never from a publisher whose lease was taken over."""

from __future__ import annotations

from collections.abc import Sequence

from redis.asyncio import Redis

# The fence is checked in the same step that adds the entries: a publisher that overslept its lease can't write after
# its successor. KEYS: stream, fence. ARGV: fence number, MAXLEN, then the events. Answers 0, or the kept fence if that
# is newer or no number (anybody may have written there).
_APPEND = """
local kept = redis.pcall('GET', KEYS[2])
if type(kept) == 'table' then return 'no text' end
if kept then
  local in_force = tonumber(kept)
  if not (in_force and in_force <= tonumber(ARGV[1])) then return string.sub(kept, 1, 64) end
end
redis.call('SET', KEYS[2], ARGV[1])
for i = 3, #ARGV do
  redis.call('XADD', KEYS[1], '*', 'event', ARGV[i])
end
redis.call('XTRIM', KEYS[1], 'MAXLEN', '~', ARGV[2])
return 0
"""

# KEYS: stream, fence. ARGV: the fence that was found, and the new one. A fence that was set in between stays.
_RESET = """
local kept = redis.pcall('GET', KEYS[2])
if type(kept) == 'table' then kept = 'no text' end
if kept and string.sub(kept, 1, 64) == ARGV[1] then redis.call('SET', KEYS[2], ARGV[2]) end
return 0
"""

#: Lua numbers are doubles: beyond this, two fences could look the same.
MAX_FENCE = 2**53

#: Events per script call. The call blocks the server, so it should take a few milliseconds at most.
CHUNK = 500


class StaleFence(Exception):  # noqa: N818 - reads as what happened
    """The holder of a newer lease has published, or somebody has overwritten the fence with something else."""

    def __init__(self, fence: int, kept: object, added: int = 0) -> None:
        """``kept``: the fence as it is in Redis; ``added``: how many events had been added before."""
        self.kept = kept if isinstance(kept, bytes) else str(kept).encode()
        super().__init__(f"the stream is at fence {self.kept.decode(errors='replace')}, this publisher holds {fence}")
        self.fence = fence
        self.added = added

    @property
    def in_force(self) -> int | None:
        """The kept fence as a number; None for anything else."""
        return read_kept(self.kept)


def read_kept(kept: bytes) -> int | None:
    """A fence as Redis keeps it, as a number; None for anything else."""
    return int(kept) if kept.isdigit() and len(kept) <= len(str(MAX_FENCE)) else None


class EventStream:
    """Appends events to a Redis stream in the order given."""

    def __init__(self, redis_client: Redis, stream: str, maxlen: int) -> None:
        """``stream`` is the key, kept at about ``maxlen`` entries; the fence is kept under ``<stream>:fence``."""
        self._keys = [stream, f"{stream}:fence"]
        self._maxlen = maxlen
        self._redis = redis_client
        self._append = redis_client.register_script(_APPEND)

    async def append(self, events: Sequence[tuple[str, bytes]], fence: int) -> None:
        """Adds an entry with field ``event`` for each (id, JSON) of ``events``.

        ``fence`` grows with each new lease of the publisher's row (1..2**53). Raises StaleFence when a newer one was
        used, and nothing of the chunk in hand was added; ``redis.RedisError`` when nobody knows how many were added:
        append again, readers recognise repeats by the event's id.
        """
        if not 0 < fence <= MAX_FENCE:
            raise ValueError(f"fence: {fence} is outside 1..2**53")
        for start in range(0, len(events), CHUNK):
            bodies = [body for _, body in events[start : start + CHUNK]]
            kept: object = await self._append(keys=self._keys, args=[fence, self._maxlen, *bodies])
            if kept != 0:
                raise StaleFence(fence, kept, start)

    async def replace_fence(self, kept: bytes, fence: int) -> None:
        """Replace the fence that was found. If it has changed since, nothing happens."""
        await self._redis.register_script(_RESET)(keys=self._keys, args=[kept, fence])
