"""A breaker per endpoint, its state shared by all workers through Redis: a receiver that is down is left alone.

At least 70 % failures among at least 10 tries within 5 minutes open it for 30 s; then one probe decides. A delivery
that is put off so costs no try. While Redis is away every delivery is let through: the schedule alone slows them down.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

log = structlog.get_logger()

WINDOW_SECONDS = 300
BUCKET_SECONDS = 30
LEAST_TRIES = 10
FAILURE_SHARE = 0.7
OPEN_SECONDS = 30.0
PROBE_SECONDS = 20.0  #: a probe whose worker died is given up after this, longer than a webhook may take

#: How often what was seen is told to the others.
TELL_SECONDS = 0.25

# KEYS: state. ARGV: tries, failures, whether the last one succeeded. Answers the milliseconds it stays open, or -1.
# Time is the server's own: workers' clocks differ.
_RECORD = f"""
local t = redis.call('TIME')
local now = tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000)
local open_until = tonumber(redis.call('HGET', KEYS[1], 'open_until') or '0')
if open_until > 0 then
  if ARGV[3] == '1' then redis.call('DEL', KEYS[1]) return -1 end
  if tonumber(ARGV[2]) == 0 then return math.max(open_until - now, 0) end
  open_until = math.max(open_until, now + {int(OPEN_SECONDS * 1000)})
  redis.call('HSET', KEYS[1], 'open_until', open_until)
  redis.call('HDEL', KEYS[1], 'probe_until')
  redis.call('PEXPIRE', KEYS[1], {WINDOW_SECONDS * 1000 * 2})
  return open_until - now
end
local bucket = math.floor(now / {BUCKET_SECONDS * 1000})
redis.call('HINCRBY', KEYS[1], 't' .. bucket, ARGV[1])
redis.call('HINCRBY', KEYS[1], 'f' .. bucket, ARGV[2])
redis.call('PEXPIRE', KEYS[1], {WINDOW_SECONDS * 1000 * 2})
local tries, failures = 0, 0
local all = redis.call('HGETALL', KEYS[1])
for i = 1, #all, 2 do
  local kind, number = string.sub(all[i], 1, 1), tonumber(string.sub(all[i], 2))
  if number then
    if number <= bucket - {WINDOW_SECONDS // BUCKET_SECONDS} then redis.call('HDEL', KEYS[1], all[i])
    elseif kind == 't' then tries = tries + tonumber(all[i + 1])
    else failures = failures + tonumber(all[i + 1]) end
  end
end
if tries >= {LEAST_TRIES} and failures >= tries * {FAILURE_SHARE} then
  redis.call('DEL', KEYS[1])
  redis.call('HSET', KEYS[1], 'open_until', now + {int(OPEN_SECONDS * 1000)})
  redis.call('PEXPIRE', KEYS[1], {WINDOW_SECONDS * 1000 * 2})
  return {int(OPEN_SECONDS * 1000)}
end
return -1
"""

# Answers -1: closed; 0: this caller makes the probe; else the milliseconds to wait.
_ASK = f"""
local t = redis.call('TIME')
local now = tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000)
local open_until = tonumber(redis.call('HGET', KEYS[1], 'open_until') or '0')
if open_until == 0 then return -1 end
if open_until > now then return open_until - now end
local probe_until = tonumber(redis.call('HGET', KEYS[1], 'probe_until') or '0')
if probe_until > now then return math.min(probe_until - now, 1000) end
redis.call('HSET', KEYS[1], 'probe_until', now + {int(PROBE_SECONDS * 1000)})
return 0
"""


@dataclass(slots=True)
class _Seen:
    """Tries since the last time the others were told."""

    tries: int = 0
    failures: int = 0
    last_succeeded: bool = True


class Breaker:
    """Used on one event loop. Closed endpoints cost one round trip to Redis every quarter of a second at most."""

    def __init__(self, client: Redis) -> None:
        self._record = client.register_script(_RECORD)
        self._ask = client.register_script(_ASK)
        self._seen: dict[str, _Seen] = {}
        self._open: set[str] = set()  #: as far as this process knows; Redis decides
        self._telling: asyncio.Task[None] | None = None

    async def admit(self, endpoint: str, asked: int) -> tuple[int, float]:
        """How many of ``asked`` deliveries may be tried now; with none, the seconds to wait before asking again."""
        if endpoint not in self._open:
            return asked, 0.0
        try:
            answer = int(await self._ask(keys=[_key(endpoint)]))
        except (RedisError, OSError) as error:
            log.debug("breaker.alone", endpoint=endpoint, error=type(error).__name__)
            return asked, 0.0
        if answer < 0:
            self._open.discard(endpoint)
            log.info("breaker.closed", endpoint=endpoint)
            return asked, 0.0
        if answer > 0:
            return 0, answer / 1000
        return 1, 0.0

    def note(self, endpoint: str, *, succeeded: bool) -> None:
        """What came of a try. The others are told in a moment."""
        seen = self._seen.setdefault(endpoint, _Seen())
        seen.tries += 1
        seen.failures += not succeeded
        seen.last_succeeded = succeeded
        if self._telling is None or self._telling.done():
            self._telling = asyncio.get_running_loop().create_task(self._tell_soon())

    async def _tell_soon(self) -> None:
        """What gathers while the others are being told is told in the next round."""
        while self._seen:
            await asyncio.sleep(TELL_SECONDS)
            seen, self._seen = self._seen, {}
            for endpoint, noted in seen.items():
                await self._tell(endpoint, noted)

    async def _tell(self, endpoint: str, noted: _Seen) -> None:
        arguments = [noted.tries, noted.failures, int(noted.last_succeeded)]
        try:
            open_milliseconds = int(await self._record(keys=[_key(endpoint)], args=arguments))
        except (RedisError, OSError) as error:
            log.debug("breaker.untold", endpoint=endpoint, error=type(error).__name__)
            return
        if open_milliseconds < 0:
            self._open.discard(endpoint)
        elif endpoint not in self._open:
            self._open.add(endpoint)
            log.warning("breaker.opened", endpoint=endpoint, seconds=open_milliseconds / 1000)


def _key(endpoint: str) -> str:
    return f"invoices:breaker:{endpoint}"
