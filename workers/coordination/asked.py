"""For which accounts workers have lately asked Redis how many calls they may make."""

from __future__ import annotations

from collections.abc import Mapping

import structlog
from redis import Redis
from redis.exceptions import RedisError

from domain.account import Account
from domain.decision import Stage
from workers.coordination import look_up_budget, rate_limit

log = structlog.get_logger()


def read_asked(redis: Redis, accounts: Mapping[str, Account]) -> frozenset[tuple[Stage, str]]:
    """Stages and accounts whose bucket exists: it goes a while after it is full again. Empty while Redis is away."""
    buckets = [
        *(
            (rate_limit.key_of(name), stage, name)
            for name, account in accounts.items()
            if account.rate_per_second is not None
            for stage in (Stage.CREATE, Stage.CHECK)
        ),
        *(
            (look_up_budget.key_of(name), Stage.CHECK, name)
            for name, account in accounts.items()
            if account.look_ups_per_second is not None
        ),
    ]
    if not buckets:
        return frozenset()
    try:
        with redis.pipeline(transaction=False) as pipeline:
            for key, _, _ in buckets:
                pipeline.exists(key)
            found = pipeline.execute()
    except (RedisError, OSError) as error:
        log.debug("pace.unread", error=type(error).__name__)
        return frozenset()
    return frozenset((stage, name) for (_, stage, name), there in zip(buckets, found, strict=True) if there)
