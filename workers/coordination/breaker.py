"""A circuit breaker per endpoint: a receiver that is down is left alone. All workers share its state through Redis.

At least 70 % failures among at least 10 attempts within 5 minutes open it for 30 s; then one probe decides. A delivery
that waits for it uses up no attempt. While Redis is away every delivery is let through: only the schedule slows it
down.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import redis
import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

log = structlog.get_logger()

#: How often a worker tells the others what came of its attempts.
TELL_SECONDS = 0.25
#: After Redis has failed to answer it is not asked for this long: a lane must not wait for it again and again.
AWAY_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class BreakerLimits:
    """When a breaker opens, and for how long. Attempts are counted over ``window_seconds``, in ``buckets`` slices."""

    window_seconds: float = 300
    buckets: int = 10
    least_tries: int = 10
    failure_share: float = 0.7
    open_seconds: float = 30
    probe_seconds: float = 20  #: after this a probe's worker counts as dead; longer than a webhook may take
    ask_seconds: float = 0.5  #: for how long a worker relies on an answer that the breaker is closed

    def milliseconds(self) -> list[int | float]:
        """As the scripts take them, from ARGV[4] on."""
        bucket = max(1, int(self.window_seconds * 1000 / self.buckets))
        window = int(self.window_seconds * 1000)
        return [bucket, self.buckets, self.least_tries, self.failure_share, int(self.open_seconds * 1000), window]


# KEYS: state. ARGV: attempts, failures, whether the last one succeeded; a bucket's milliseconds, buckets, least
# attempts, failure share, milliseconds to stay open, the window's. Answers the milliseconds it stays open, or -1.
# The time is the server's: workers' clocks differ. An outcome told while it is open belongs to an attempt that began
# earlier, and says nothing new; once that time is over, the probe's outcome decides.
_RECORD = """
local t = redis.call('TIME')
local now = tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000)
local open_for, keep = tonumber(ARGV[8]), tonumber(ARGV[9]) * 2 + tonumber(ARGV[8])
local open_until = tonumber(redis.call('HGET', KEYS[1], 'open_until') or '0')
if open_until > now then return open_until - now end
if open_until > 0 then
  redis.call('DEL', KEYS[1])
  if ARGV[3] == '1' then return -1 end
  redis.call('HSET', KEYS[1], 'open_until', string.format('%.0f', now + open_for))
  redis.call('PEXPIRE', KEYS[1], keep)
  return open_for
end
local bucket = math.floor(now / tonumber(ARGV[4]))
redis.call('HINCRBY', KEYS[1], 't' .. string.format('%.0f', bucket), ARGV[1])
redis.call('HINCRBY', KEYS[1], 'f' .. string.format('%.0f', bucket), ARGV[2])
redis.call('PEXPIRE', KEYS[1], keep)
local tries, failures = 0, 0
local all = redis.call('HGETALL', KEYS[1])
for i = 1, #all, 2 do
  local kind, number = string.sub(all[i], 1, 1), tonumber(string.sub(all[i], 2))
  if number then
    if number <= bucket - tonumber(ARGV[5]) then redis.call('HDEL', KEYS[1], all[i])
    elseif kind == 't' then tries = tries + tonumber(all[i + 1])
    else failures = failures + tonumber(all[i + 1]) end
  end
end
if tries >= tonumber(ARGV[6]) and failures >= tries * tonumber(ARGV[7]) then
  redis.call('DEL', KEYS[1])
  redis.call('HSET', KEYS[1], 'open_until', string.format('%.0f', now + open_for))
  redis.call('PEXPIRE', KEYS[1], keep)
  return open_for
end
return -1
"""

# KEYS: state. ARGV: milliseconds a probe may take. Answers -1: closed; 0: the caller makes the probe; otherwise the
# milliseconds to wait.
_ASK = """
local t = redis.call('TIME')
local now = tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000)
local open_until = tonumber(redis.call('HGET', KEYS[1], 'open_until') or '0')
if open_until == 0 then return -1 end
if open_until > now then return open_until - now end
local probe_until = tonumber(redis.call('HGET', KEYS[1], 'probe_until') or '0')
if probe_until > now then return math.min(probe_until - now, 1000) end
redis.call('HSET', KEYS[1], 'probe_until', string.format('%.0f', now + tonumber(ARGV[1])))
return 0
"""


@dataclass(slots=True)
class _Seen:
    """Attempts since the others were last told."""

    tries: int = 0
    failures: int = 0
    last_succeeded: bool = True


class Breaker:
    """Used on one event loop. A closed breaker costs two round trips to Redis each half second at most.

    ``client`` should give up fast: deliveries wait for its answers.
    """

    def __init__(self, client: Redis, limits: BreakerLimits | None = None) -> None:
        self._client = client
        self._limits = limits or BreakerLimits()
        self._record = client.register_script(_RECORD)
        self._ask = client.register_script(_ASK)
        self._seen: dict[str, _Seen] = {}
        self._open: set[str] = set()  #: open as far as this process knows; Redis decides
        self._asked_at: dict[str, float] = {}
        self._probing: set[str] = set()
        self._away_until = 0.0
        self._telling: asyncio.Task[None] | None = None

    async def admit(self, endpoint: str, asked: int) -> tuple[int, float]:
        """How many of ``asked`` deliveries may be attempted now; if none, the seconds to wait before asking again."""
        now = time.monotonic()
        if self.passes(endpoint):
            return asked, 0.0
        try:
            answer = int(await self._ask(keys=[key_of(endpoint)], args=[int(self._limits.probe_seconds * 1000)]))
        except (RedisError, OSError) as error:
            self._forget()
            log.debug("breaker.alone", endpoint=endpoint, error=type(error).__name__)
            return asked, 0.0
        self._asked_at[endpoint] = now
        self._learn(endpoint, answer)
        if answer < 0:
            return asked, 0.0
        if answer > 0:
            return 0, answer / 1000
        self._probing.add(endpoint)
        return 1, 0.0

    def passes(self, endpoint: str) -> bool:
        """Whether deliveries may be attempted as far as this process knows, without asking Redis."""
        now = time.monotonic()
        known = endpoint not in self._open and now - self._asked_at.get(endpoint, -60.0) < self._limits.ask_seconds
        return known or now < self._away_until

    async def look(self, endpoint: str) -> None:
        """See whether it is closed, where that is no longer known. Takes no probe, and asks about no open one."""
        if self.passes(endpoint) or endpoint in self._open:
            return
        now = time.monotonic()
        try:
            found = await self._client.hget(key_of(endpoint), "open_until")
        except (RedisError, OSError) as error:
            self._forget()
            log.debug("breaker.alone", endpoint=endpoint, error=type(error).__name__)
        else:
            if found is None:
                self._asked_at[endpoint] = now

    def stops(self, endpoint: str) -> bool:
        """Whether a delivery that was let through earlier should not be sent, because the breaker has opened since.

        Its probe is sent. So is everything while Redis is away: nobody would say when the breaker closes.
        """
        known_open = endpoint in self._open and endpoint not in self._probing
        return known_open and time.monotonic() >= self._away_until

    async def give_back(self, endpoint: str, unused: int) -> None:
        """A probe that was let through found nothing to send: the next delivery may be the probe."""
        if endpoint not in self._probing:
            return
        self._probing.discard(endpoint)
        try:
            await self._client.hdel(key_of(endpoint), "probe_until")
        except (RedisError, OSError) as error:
            log.debug("breaker.probe_kept", endpoint=endpoint, error=type(error).__name__)

    def note(self, endpoint: str, *, succeeded: bool) -> None:
        """Note the outcome of an attempt. The others are told in a moment."""
        self._probing.discard(endpoint)
        seen = self._seen.setdefault(endpoint, _Seen())
        seen.tries += 1
        seen.failures += not succeeded
        seen.last_succeeded = succeeded
        if self._telling is None or self._telling.done():
            self._telling = asyncio.get_running_loop().create_task(self._tell_soon())

    async def _tell_soon(self) -> None:
        """Outcomes that come in while the others are being told go with the next round."""
        while self._seen:
            await asyncio.sleep(TELL_SECONDS)
            seen, self._seen = self._seen, {}
            for endpoint, noted in seen.items():
                await self._tell(endpoint, noted)

    async def _tell(self, endpoint: str, noted: _Seen) -> None:
        if time.monotonic() < self._away_until:
            return
        now = time.monotonic()
        arguments: list[int | float] = [noted.tries, noted.failures, int(noted.last_succeeded)]
        try:
            answer = int(await self._record(keys=[key_of(endpoint)], args=arguments + self._limits.milliseconds()))
        except (RedisError, OSError) as error:
            self._forget()
            log.debug("breaker.untold", endpoint=endpoint, error=type(error).__name__)
            return
        self._asked_at[endpoint] = now
        self._learn(endpoint, answer)

    def _forget(self) -> None:
        """Redis is away: let everything through until it is asked again. By then its last answers are out of date."""
        self._away_until = time.monotonic() + AWAY_SECONDS
        self._open.clear()

    def _learn(self, endpoint: str, milliseconds: int) -> None:
        if milliseconds >= 0 and endpoint not in self._open:
            self._open.add(endpoint)
            log.warning("breaker.opened", endpoint=endpoint, seconds=milliseconds / 1000)
        elif milliseconds < 0 and endpoint in self._open:
            self._open.discard(endpoint)
            log.info("breaker.closed", endpoint=endpoint)


def key_of(endpoint: str) -> str:
    """The key of an endpoint's state."""
    return f"invoices:breaker:{endpoint}"


def read_breakers(client: redis.Redis, endpoints: Sequence[str]) -> Mapping[str, Literal["closed", "open", "probing"]]:
    """Each endpoint's state; ``probing``: it was open, and one delivery at a time is let through. Raises RedisError."""
    pipeline = client.pipeline(transaction=False)
    pipeline.time()
    for endpoint in endpoints:
        pipeline.hget(key_of(endpoint), "open_until")
    (seconds, microseconds), *times = pipeline.execute()
    now = seconds * 1000 + microseconds / 1000
    return {
        endpoint: "closed" if until is None else "open" if float(until) > now else "probing"
        for endpoint, until in zip(endpoints, times, strict=True)
    }


def reset_breakers(client: redis.Redis, endpoints: Sequence[str]) -> None:
    """Close them. Raises RedisError."""
    if endpoints:
        client.delete(*map(key_of, endpoints))
