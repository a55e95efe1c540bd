"""An account's look-ups per second. All workers share them through Redis, as ``rate_limit`` shares its calls.

Half of the bucket is reserved for look-ups after callbacks, so that these find tokens however many others wait. In a
flood of callbacks the others still get a quarter: they gather ``credit``, and look-ups after callbacks leave as many
tokens as that in the bucket.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from domain.looks import Look
from workers.coordination.rate_limit import ALONE_SHARE

log = structlog.get_logger()

#: The part of the rate that other look-ups get even in a flood of callbacks.
OTHERS_SHARE = 0.25
#: A full bucket has at least these tokens: one reserved for a callback, and one for the others.
LEAST_SIZE = 2.0

# The time is the server's. KEYS: bucket. ARGV: rate per second, tokens asked for, and what for: ``called``, ``other``,
# or ``settle``, which is for calls that were made beyond what was granted, or (negative) not made. Answers the tokens
# granted, and the seconds until there may be one more.
_TAKE = f"""
local now = redis.call('TIME')
local at = tonumber(now[1]) + tonumber(now[2]) / 1000000
local rate, asked, purpose = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3]
local size = math.max(rate, {LEAST_SIZE})
local most = math.max(1, size * {OTHERS_SHARE})
local kept = redis.call('HMGET', KEYS[1], 'tokens', 'credit', 'at')
local passed = math.max(0, at - (tonumber(kept[3]) or at))
local tokens = math.min(size, (tonumber(kept[1]) or size) + passed * rate)
local credit = math.min(most, (tonumber(kept[2]) or 0) + passed * rate * {OTHERS_SHARE})
local granted, missing = asked, 0
if purpose == 'called' then
    granted = math.max(0, math.min(asked, math.floor(tokens - credit)))
    missing = credit + 1 - (tokens - granted)
elseif purpose == 'other' then
    local owed = math.min(math.floor(credit), math.floor(tokens))
    granted = math.max(0, math.min(asked, math.max(math.floor(tokens - size / 2), owed)))
    credit = math.max(0, credit - granted)
    missing = math.min(size / 2 + 1 - (tokens - granted), (1 - credit) / {OTHERS_SHARE})
end
tokens = math.max(-size, math.min(size, tokens - granted))
redis.call('HSET', KEYS[1], 'tokens', tostring(tokens), 'credit', tostring(credit), 'at', string.format('%.6f', at))
redis.call('PEXPIRE', KEYS[1], math.ceil(2 * size / rate * 1000) + 10000)
return {{granted, tostring(math.max(0, missing) / rate)}}
"""


@dataclass(slots=True)
class _Bucket:
    """The same for one process on its own, by its own clock."""

    rate: float
    at: float
    tokens: float = field(init=False)
    credit: float = 0.0

    def __post_init__(self) -> None:
        self.tokens = self.size

    @property
    def size(self) -> float:
        return max(self.rate, LEAST_SIZE)

    def take(self, asked: int, purpose: str, now: float) -> tuple[int, float]:
        passed, self.at = now - self.at, now
        self.tokens = min(self.size, self.tokens + passed * self.rate)
        self.credit = min(max(1, self.size * OTHERS_SHARE), self.credit + passed * self.rate * OTHERS_SHARE)
        granted, missing = asked, 0.0
        if purpose == "called":
            granted = max(0, min(asked, int(self.tokens - self.credit)))
            missing = self.credit + 1 - (self.tokens - granted)
        elif purpose == "other":
            owed = min(int(self.credit), int(self.tokens))
            granted = max(0, min(asked, max(int(self.tokens - self.size / 2), owed)))
            self.credit = max(0, self.credit - granted)
            missing = min(self.size / 2 + 1 - (self.tokens - granted), (1 - self.credit) / OTHERS_SHARE)
        self.tokens = max(-self.size, min(self.size, self.tokens - granted))
        return granted, max(0.0, missing) / self.rate


class LookUpBudget:
    """Token buckets by account; an account without a budget has none here."""

    def __init__(self, client: Redis, rates: Mapping[str, float]) -> None:
        self._rates = rates
        self._script = client.register_script(_TAKE)
        self._own: dict[str, _Bucket] = {}

    def limits(self, account: str) -> bool:
        """Whether the account has a budget."""
        return account in self._rates

    async def take(self, account: str, asked: int, look: Look) -> tuple[int, float]:
        """How many of ``asked`` calls may be made now, and the seconds until there may be one more."""
        return await self._take(account, asked, "called" if look is Look.CALLED else "other")

    async def settle(self, account: str, granted: int, made: int) -> None:
        """``made`` calls were made of those ``granted``: give back the rest, or owe what was more."""
        if made != granted:
            await self._take(account, made - granted, "settle")

    async def _take(self, account: str, asked: int, purpose: str) -> tuple[int, float]:
        rate = self._rates[account]
        try:
            granted, wait_seconds = await self._script(keys=[key_of(account)], args=[rate, asked, purpose])
            return int(granted), float(wait_seconds)
        except (RedisError, OSError) as error:
            log.debug("budget.alone", account=account, error=type(error).__name__)
            now = time.monotonic()
            own = self._own.setdefault(account, _Bucket(rate / ALONE_SHARE, now))
            return own.take(asked, purpose, now)


def key_of(account: str) -> str:
    """The key of an account's bucket. It exists until about ten seconds after the bucket is full again."""
    return f"invoices:look-ups:{account}"
