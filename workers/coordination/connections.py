"""Clients of Redis; a ``sentinel://`` URL follows the master."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import redis
import redis.asyncio
import redis.asyncio.sentinel
import redis.sentinel
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.retry import Retry

from config.urls import read_sentinel

REDIS_OPTIONS: dict[str, object] = {"socket_timeout": 10, "socket_connect_timeout": 5, "health_check_interval": 10}
#: For doorbells, breakers and rates, which know what to do while Redis is away: one short try. The default of redis-py
#: is to try for about 6 s.
ONE_TRY: dict[str, object] = {"socket_timeout": 1, "socket_connect_timeout": 1, "retry": Retry(NoBackoff(), 0)}
ONE_TRY_ASYNC: dict[str, object] = ONE_TRY | {"retry": AsyncRetry(NoBackoff(), 0)}


def open_redis(url: str, options: Mapping[str, Any] = REDIS_OPTIONS) -> redis.Redis:
    """A client; ``sentinel://`` follows the master."""
    if not url.startswith("sentinel"):
        return redis.Redis.from_url(url, **options)
    client: redis.Redis = _follow(redis.sentinel.Sentinel, url, options)
    return client


def open_async_redis(url: str, options: Mapping[str, Any] = REDIS_OPTIONS) -> redis.asyncio.Redis:
    """The same on an event loop."""
    if not url.startswith("sentinel"):
        return redis.asyncio.Redis.from_url(url, **options)
    client: redis.asyncio.Redis = _follow(redis.asyncio.sentinel.Sentinel, url, options)
    return client


def _follow(sentinel_class: Callable[..., Any], url: str, options: Mapping[str, Any]) -> Any:
    """A client of the current master. redis-py has no types for its sentinels."""
    found = read_sentinel(url)
    sentinel = sentinel_class(found.hosts, sentinel_kwargs={**options, **found.login})
    login = {"username": found.username, "password": found.password, "db": found.database}
    return sentinel.master_for(found.master, **options, **login)
