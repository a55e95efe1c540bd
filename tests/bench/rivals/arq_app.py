"""arq: jobs in Redis, an asyncio worker. What Redis loses is lost, and so is a list's tail when a worker dies in it.

``python -m tests.bench.rivals.arq_app setup | work | send KIND``.
"""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Sequence
from typing import Any

from arq import Worker, create_pool, func
from arq.connections import ArqRedis, RedisSettings
from arq.constants import default_queue_name, job_key_prefix
from arq.jobs import serialize_job

from tests.bench.rivals.shop import (
    CONCURRENCY,
    REDIS_URL,
    Order,
    Shop,
    create_tables,
    in_lists,
    keep_list,
    main,
    open_shop,
)

POLL_SECONDS = float(os.environ.get("RIVAL_POLL_SECONDS", "0.05"))
DAY_MS = 86_400_000


async def enqueue(redis: ArqRedis, name: str, arguments: Sequence[tuple[Any, ...]]) -> None:
    """What ``enqueue_job`` writes, in one pipeline: its own takes two round trips a job."""
    now = int(time.time() * 1000)
    async with redis.pipeline(transaction=True) as pipe:
        for one in arguments:
            job_id = uuid.uuid4().hex
            pipe.psetex(job_key_prefix + job_id, DAY_MS, serialize_job(name, one, {}, None, now))
            pipe.zadd(default_queue_name, {job_id: now})
        await pipe.execute()


async def send(kind: str, orders: Sequence[Order]) -> None:
    """A job an order, or one for every 500."""
    redis = await create_pool(RedisSettings.from_dsn(REDIS_URL))
    parts: Sequence[Any] = orders if kind == "create" else in_lists(orders)
    for at in range(0, len(parts), 1000):
        await enqueue(redis, kind, [(part,) for part in parts[at : at + 1000]])
    await redis.aclose()


async def create(context: dict[str, Any], order: Order) -> None:
    """An order's whole way."""
    await _shop(context).whole_way(order)


async def make(context: dict[str, Any], invoice_id: str, order: Order) -> None:
    """The rest of it, for an order that came in a list."""
    await _shop(context).make(invoice_id, order)


async def create_many(context: dict[str, Any], orders: Sequence[Order]) -> None:
    """A list: its rows, then their jobs."""
    async with _shop(context).pool.acquire() as connection:
        fresh = await keep_list(connection, orders)
    await enqueue(context["redis"], "make", fresh)


def _shop(context: dict[str, Any]) -> Shop:
    shop: Shop = context["shop"]
    return shop


async def work() -> None:
    """A worker process. Results are not kept, and the job is what remembers how far it is: the row does."""
    async with open_shop() as shop:
        worker = Worker(
            functions=[func(one, keep_result=0) for one in (create, make, create_many)],
            redis_settings=RedisSettings.from_dsn(REDIS_URL),
            max_jobs=CONCURRENCY,
            poll_delay=POLL_SECONDS,
            ctx={"shop": shop},
            handle_signals=False,
            health_check_interval=3600,
        )
        print("rival ready.", flush=True)
        await worker.async_run()


if __name__ == "__main__":
    main(create_tables, work, send)
