"""The Redis stream of events: one entry per event, at least once, never from a holder whose lease was taken over."""

from __future__ import annotations

from collections.abc import Sequence

from redis.asyncio import Redis

# The fence and the entries are one step: a holder that slept through its lease cannot write after its successor.
# KEYS: stream, fence. ARGV: fence number, MAXLEN, then the events. Answers the fence in force when that is newer.
_APPEND = """
local in_force = tonumber(redis.call('GET', KEYS[2]) or '0')
if in_force > tonumber(ARGV[1]) then return in_force end
redis.call('SET', KEYS[2], ARGV[1])
for i = 3, #ARGV do
  redis.call('XADD', KEYS[1], '*', 'event', ARGV[i])
end
redis.call('XTRIM', KEYS[1], 'MAXLEN', '~', ARGV[2])
return 0
"""

#: Lua numbers are doubles: beyond this, two fences could look the same.
MAX_FENCE = 2**53

#: Events per script call: it blocks the server, so keep it in the low milliseconds.
CHUNK = 500


class StaleFence(Exception):  # noqa: N818 - reads as what happened
    """Somebody with a newer lease has published: stop, and let them go on."""

    def __init__(self, fence: int, in_force: int) -> None:
        super().__init__(f"the stream is at fence {in_force}, this publisher holds {fence}")
        self.fence = fence
        self.in_force = in_force


class EventStream:
    """Appends events to a Redis stream in the order given."""

    def __init__(self, redis_client: Redis, stream: str, maxlen: int) -> None:
        """``stream`` is the key, kept at about ``maxlen`` entries; the fence is kept under ``<stream>:fence``."""
        self._keys = [stream, f"{stream}:fence"]
        self._maxlen = maxlen
        self._append = redis_client.register_script(_APPEND)

    async def append(self, events: Sequence[tuple[str, bytes]], fence: int) -> None:
        """Adds an entry with field ``event`` for each (id, JSON) of ``events``.

        ``fence`` grows with each new lease of the publisher's row (1..2**53). Raises StaleFence when a newer one was
        used, having added nothing of the 500 in hand; ``redis.RedisError`` when it is unknown how many were added:
        append again, readers tell repeats by the event's id.
        """
        if not 0 < fence <= MAX_FENCE:
            raise ValueError(f"fence: {fence} is outside 1..2**53")
        for start in range(0, len(events), CHUNK):
            bodies = [body for _, body in events[start : start + CHUNK]]
            in_force = int(await self._append(keys=self._keys, args=[fence, self._maxlen, *bodies]))
            if in_force:
                raise StaleFence(fence, in_force)
