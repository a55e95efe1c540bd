"""PgQueuer: jobs in the shop's own PostgreSQL, so an order's list and its jobs are one transaction.

``python -m tests.bench.rivals.pgqueuer_app setup | work | send KIND``, KIND ``create`` or ``create_many``.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from typing import Any

import asyncpg
from pgqueuer import PgQueuer
from pgqueuer.db import AsyncpgDriver
from pgqueuer.models import Job
from pgqueuer.queries import Queries

from tests.bench.rivals.shop import (
    CONCURRENCY,
    DATABASE_URL,
    Order,
    Shop,
    create_tables,
    in_lists,
    keep_list,
    main,
    open_shop,
)

BATCH = int(os.environ.get("RIVAL_BATCH", "50"))  #: jobs that one look takes; at most half of those at a time


async def setup() -> None:
    """Tables of both."""
    await create_tables()
    connection = await asyncpg.connect(DATABASE_URL)
    await Queries(AsyncpgDriver(connection)).install()
    await connection.close()


async def send(kind: str, orders: Sequence[Order]) -> None:
    """A job an order, or one for every 500; as arrays, the quickest way there is."""
    connection = await asyncpg.connect(DATABASE_URL)
    queries = Queries(AsyncpgDriver(connection))
    parts: Sequence[Any] = orders if kind == "create" else in_lists(orders)
    for at in range(0, len(parts), 1000):
        jobs: list[bytes | None] = [json.dumps(part).encode() for part in parts[at : at + 1000]]
        await queries.enqueue([kind] * len(jobs), jobs, [0] * len(jobs))
    await connection.close()


async def work() -> None:
    """A worker process."""
    listening = await asyncpg.connect(DATABASE_URL)
    async with open_shop() as shop:
        queue = PgQueuer.from_asyncpg_connection(listening)

        @queue.entrypoint("create")
        async def create(job: Job) -> None:
            await shop.whole_way(json.loads(job.payload or b""))

        @queue.entrypoint("make")
        async def make(job: Job) -> None:
            invoice_id, order = json.loads(job.payload or b"")
            await shop.make(invoice_id, order)

        @queue.entrypoint("create_many")
        async def create_many(job: Job) -> None:
            await keep_many(shop, json.loads(job.payload or b""))

        print("rival ready.", flush=True)
        await queue.qm.run(batch_size=BATCH, max_concurrent_tasks=max(CONCURRENCY, 2 * BATCH))


async def keep_many(shop: Shop, orders: list[Order]) -> None:
    """A list: its rows, and a job for each that is new, in one transaction."""
    async with shop.pool.acquire() as connection, connection.transaction():
        fresh = await keep_list(connection, orders)
        jobs: list[bytes | None] = [json.dumps(one).encode() for one in fresh]
        if jobs:
            await Queries(AsyncpgDriver(connection)).enqueue(["make"] * len(jobs), jobs, [0] * len(jobs))


if __name__ == "__main__":
    main(setup, work, send)
