"""DBOS: each step's result is kept in PostgreSQL, so that a workflow goes on where its process died.

``python -m tests.bench.rivals.dbos_app setup | work | send KIND``. The rival for guarantees rather than for speed.
"""

from __future__ import annotations

import asyncio
import os
import uuid
from collections.abc import Sequence
from typing import Any

import sqlalchemy
from dbos import DBOS, DBOSClient, DBOSConfig, SetWorkflowID

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

QUEUE = "orders"
VERSION = "1"
POLL_SECONDS = float(os.environ.get("RIVAL_POLL_SECONDS", "0.1"))
URL = DATABASE_URL.replace("postgresql:", "postgresql+psycopg:")
SHOPS: list[Shop] = []
RETRIED: dict[str, Any] = {"retries_allowed": True, "max_attempts": 10}


@DBOS.step()
async def keep(order: Order) -> str | None:
    """First commit."""
    return await SHOPS[0].keep(order)


@DBOS.step(**RETRIED)
async def call(order: Order) -> dict[str, Any]:
    """The provider's answer."""
    return dict(await SHOPS[0].call(order))


@DBOS.step()
async def store(invoice_id: str, order: Order, result: dict[str, Any]) -> tuple[str, str] | None:
    """Second commit: the answer and its event."""
    return await SHOPS[0].store(invoice_id, order, result)


@DBOS.step()
async def deliver(webhook_id: str, body: str) -> None:
    """The webhook, and the third."""
    await SHOPS[0].deliver(webhook_id, body)


@DBOS.workflow()
async def create(order: Order) -> None:
    """An order's whole way."""
    invoice_id = await keep(order)
    if invoice_id is not None:
        await make_steps(invoice_id, order)


async def make_steps(invoice_id: str, order: Order) -> None:
    """From the kept order on."""
    webhook = await store(invoice_id, order, await call(order))
    if webhook is not None:
        await deliver(*webhook)


@DBOS.workflow()
async def make(invoice_id: str, order: Order) -> None:
    """The rest of it, for an order that came in a list."""
    await make_steps(invoice_id, order)


@DBOS.step()
async def keep_orders(orders: Sequence[Order]) -> list[tuple[str, Order]]:
    """First commit of a list."""
    async with SHOPS[0].pool.acquire() as connection:
        return await keep_list(connection, orders)


@DBOS.workflow()
async def create_many(orders: Sequence[Order]) -> None:
    """A list: its rows, then a workflow each."""
    for invoice_id, order in await keep_orders(orders):
        with SetWorkflowID(invoice_id):
            await DBOS.enqueue_workflow_async(QUEUE, make, invoice_id, order)


def launch(*, migrate: bool) -> None:
    """The library, as this process needs it."""
    config: DBOSConfig = {
        "name": "shop",
        "system_database_url": URL,
        "sys_db_pool_size": CONNECTIONS,
        "application_version": VERSION,
        "executor_id": f"{os.getpid()}",
        "console_log_level": "ERROR",
        "run_migrations": migrate,
    }
    DBOS(config=config)
    DBOS.launch()


async def setup() -> None:
    """Tables of both, and the queue."""
    await create_tables()
    launch(migrate=True)
    await DBOS.register_queue_async(QUEUE, worker_concurrency=CONCURRENCY, polling_interval_sec=POLL_SECONDS)
    DBOS.destroy()


async def send(kind: str, orders: Sequence[Order]) -> None:
    """A workflow an order, or one for every 500; many in one transaction."""
    await asyncio.to_thread(_send, kind, orders)


def _send(kind: str, orders: Sequence[Order]) -> None:
    engine = sqlalchemy.create_engine(URL)
    client = DBOSClient(system_database_engine=engine)
    parts: Sequence[Any] = orders if kind == "create" else in_lists(orders)
    for at in range(0, len(parts), 100):
        with engine.begin() as connection:
            for part in parts[at : at + 100]:
                options = {"workflow_name": kind, "queue_name": QUEUE, "workflow_id": uuid.uuid4().hex}
                client.enqueue_in_transaction(connection, {**options, "app_version": VERSION}, part)
    client.destroy()


async def work() -> None:
    """A worker process."""
    async with open_shop() as shop:
        SHOPS.append(shop)
        launch(migrate=False)
        print("rival ready.", flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    main(setup, work, send)
