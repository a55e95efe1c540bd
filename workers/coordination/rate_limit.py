"""An account's calls per second, shared by all workers through Redis; while it is away each keeps to a part."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

log = structlog.get_logger()

#: While Redis is away nobody knows how many others call: each process keeps to the rate divided by this.
ALONE_SHARE = 8

# A bucket holds the tokens of one second. The time is the server's: workers' clocks differ.
# KEYS: bucket. ARGV: rate per second, tokens asked for (negative: given back), 1 for calls that are made in any case:
# these may leave the bucket in debt. Answers the tokens granted, and the seconds until there is one more.
_TAKE = """
local now = redis.call('TIME')
local at = tonumber(now[1]) + tonumber(now[2]) / 1000000
local rate, asked = tonumber(ARGV[1]), tonumber(ARGV[2])
local size = math.max(rate, 1)
local bucket = redis.call('HMGET', KEYS[1], 'tokens', 'at')
local tokens = tonumber(bucket[1]) or size
tokens = math.min(size, tokens + math.max(0, at - (tonumber(bucket[2]) or at)) * rate)
local granted = asked
if asked > 0 and ARGV[3] ~= '1' then granted = math.max(0, math.min(asked, math.floor(tokens))) end
tokens = math.max(-size, math.min(size, tokens - granted))
redis.call('HSET', KEYS[1], 'tokens', tostring(tokens), 'at', string.format('%.6f', at))
redis.call('PEXPIRE', KEYS[1], math.ceil(size / rate * 1000) + 10000)
return {granted, tostring(math.max(0, 1 - tokens) / rate)}
"""


@dataclass(slots=True)
class _Bucket:
    tokens: float
    at: float


class RateLimit:
    """Token buckets by account. Calls of an account without a rate are not limited."""

    def __init__(self, client: Redis, rates: Mapping[str, float | None]) -> None:
        self._rates = rates
        self._take = client.register_script(_TAKE)
        self._own: dict[str, _Bucket] = {}

    async def take(self, account: str, asked: int) -> tuple[int, float]:
        """How many of ``asked`` calls may be made now, and the seconds until there may be one more."""
        return await self._ask(account, asked, in_any_case=False)

    async def spend(self, account: str, calls: int) -> None:
        """Take tokens for calls that are made in any case, under their own budget: all other calls wait for them."""
        if calls > 0:
            await self._ask(account, calls, in_any_case=True)

    async def _ask(self, account: str, asked: int, *, in_any_case: bool) -> tuple[int, float]:
        rate = self._rates.get(account)
        if rate is None:
            return asked, 0.0
        try:
            granted, wait_seconds = await self._take(keys=[key_of(account)], args=[rate, asked, int(in_any_case)])
            return int(granted), float(wait_seconds)
        except (RedisError, OSError) as error:
            log.debug("rate.alone", account=account, error=type(error).__name__)
            return self._take_own(account, rate / ALONE_SHARE, asked, in_any_case)

    async def give_back(self, account: str, unused: int) -> None:
        """Give back tokens that no call was made with."""
        if unused > 0 and self._rates.get(account) is not None:
            await self.take(account, -unused)

    def _take_own(self, account: str, rate: float, asked: int, in_any_case: bool) -> tuple[int, float]:
        now, size = time.monotonic(), max(rate, 1.0)
        bucket = self._own.setdefault(account, _Bucket(size, now))
        bucket.tokens = min(size, bucket.tokens + (now - bucket.at) * rate)
        bucket.at = now
        granted = asked if in_any_case or asked < 0 else max(0, min(asked, int(bucket.tokens)))
        bucket.tokens = max(-size, min(size, bucket.tokens - granted))
        return granted, max(0.0, 1 - bucket.tokens) / rate


def key_of(account: str) -> str:
    """The key of an account's bucket. It exists until about ten seconds after the bucket is full again."""
    return f"invoices:rate:{account}"
