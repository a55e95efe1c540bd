"""The breakers of endpoints, as Redis has them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from config.settings import Settings


def breaker_states(config: Settings, endpoints: Sequence[str]) -> Mapping[str, str]:
    """Each one's state; nothing where Redis does not answer."""
    from redis.exceptions import RedisError

    from workers.coordination.breaker import read_breakers
    from workers.coordination.connections import ONE_TRY, open_redis

    if not endpoints:
        return {}
    try:
        with open_redis(config.redis_url, ONE_TRY) as client:
            return read_breakers(client, endpoints)
    except (RedisError, OSError):
        return {}
