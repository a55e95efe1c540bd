"""Procrastinate: jobs in the shop's own PostgreSQL, over psycopg.

``python -m tests.bench.rivals.procrastinate_app setup | work | send KIND``.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import procrastinate

from tests.bench.rivals.shop import (
    CONCURRENCY,
    CONNECTIONS,
    DATABASE_URL,
    Order,
    Shop,
    create_tables,
    in_lists,
    keep_list,
    main,
    open_shop,
)

POLL_SECONDS = float(os.environ.get("RIVAL_POLL_SECONDS", "5"))  #: it is woken by NOTIFY
app = procrastinate.App(
    connector=procrastinate.PsycopgConnector(conninfo=DATABASE_URL, min_size=CONNECTIONS, max_size=CONNECTIONS)
)
AGAIN = procrastinate.RetryStrategy(max_attempts=10, exponential_wait=2)
SHOPS: list[Shop] = []


@app.task(name="create", retry=AGAIN)
async def create(order: Any) -> None:
    """An order's whole way."""
    await SHOPS[0].whole_way(order)


@app.task(name="make", retry=AGAIN)
async def make(invoice_id: str, order: Any) -> None:
    """The rest of it, for an order that came in a list."""
    await SHOPS[0].make(invoice_id, order)


@app.task(name="create_many", retry=AGAIN)
async def create_many(orders: Any) -> None:
    """A list: its rows, then their jobs."""
    async with SHOPS[0].pool.acquire() as connection:
        fresh = await keep_list(connection, orders)
    if fresh:
        await make.batch_defer_async(*({"invoice_id": one, "order": dict(order)} for one, order in fresh))


async def setup() -> None:
    """Tables of both."""
    await create_tables()
    async with app.open_async():
        await app.schema_manager.apply_schema_async()


async def send(kind: str, orders: Sequence[Order]) -> None:
    """A job an order, or one for every 500."""
    async with app.open_async():
        if kind == "create":
            for part in in_lists(orders):
                await create.batch_defer_async(*({"order": dict(order)} for order in part))
        else:
            await create_many.batch_defer_async(*({"orders": list(part)} for part in in_lists(orders)))


async def work() -> None:
    """A worker process; jobs that are done are deleted."""
    async with open_shop() as shop, app.open_async():
        SHOPS.append(shop)
        print("rival ready.", flush=True)
        await app.run_worker_async(
            concurrency=CONCURRENCY,
            fetch_job_polling_interval=POLL_SECONDS,
            delete_jobs="successful",
            install_signal_handlers=False,
        )


if __name__ == "__main__":
    main(setup, work, send)
