"""The breakers of endpoints, which Redis keeps: where it does not answer, none is known and none holds back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from config.settings import Settings


def breaker_states(config: Settings, endpoints: Sequence[str]) -> Mapping[str, str]:
    """Each endpoint's breaker state."""
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


def reset_breaker(config: Settings, endpoint_id: str) -> None:
    """Forget the failures that were seen of an endpoint."""
    from redis.exceptions import RedisError

    from workers.coordination.breaker import reset_breakers
    from workers.coordination.connections import ONE_TRY, open_redis

    with suppress(RedisError, OSError), open_redis(config.redis_url, ONE_TRY) as client:
        reset_breakers(client, [endpoint_id])
