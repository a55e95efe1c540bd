"""What the rivals share: an order's whole way in asyncio, with asyncpg and aiohttp. The queue below it is their own.

One job an order and three commits: the order is kept, the provider's answer and the event are kept, the webhook's 2xx
is noted. A job that is run again goes on where the row says it stopped. Once a second a loop expires what has run out
and posts the webhooks that failed. What we do besides and these don't: the order of an invoice's events, the stream, a
lost answer of the provider, rate limits, payments, cancellations.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import hmac
import json
import os
import sys
import time
import uuid
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from decimal import Decimal
from typing import Any

import aiohttp
import asyncpg
import uvloop

LIFETIME_MINUTES = 60
CALL_SECONDS = 10
LIST = 500  #: orders of a `create_many`
CONCURRENCY = int(os.environ.get("RIVAL_CONCURRENCY", "100"))  #: orders at a time of one process
CONNECTIONS = int(os.environ.get("RIVAL_CONNECTIONS", "10"))  #: to the database, of one process
PROVIDER, HOOK = os.environ.get("RIVAL_PROVIDER_URL", ""), os.environ.get("RIVAL_HOOK_URL", "")
DATABASE_URL, REDIS_URL = os.environ.get("RIVAL_DATABASE_URL", ""), os.environ.get("RIVAL_REDIS_URL", "")
KEY = base64.b64decode(os.environ.get("RIVAL_SECRET", "").removeprefix("whsec_"))

SCHEMA = """
CREATE TABLE invoice (
    id text PRIMARY KEY,
    order_id text NOT NULL UNIQUE,
    status text NOT NULL,
    price numeric NOT NULL,
    currency text NOT NULL,
    pay_currency text,
    network text,
    details text NOT NULL,
    provider_ref text,
    payment_url text,
    expires_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX invoice_runs_out ON invoice (expires_at) WHERE status = 'pending';
CREATE TABLE webhook (
    id text PRIMARY KEY,
    invoice_id text NOT NULL REFERENCES invoice,
    body text NOT NULL,
    tries integer NOT NULL DEFAULT 0,
    due_at timestamptz NOT NULL DEFAULT now() + interval '30 seconds',
    delivered_at timestamptz
);
CREATE INDEX webhook_of ON webhook (invoice_id);
CREATE INDEX webhook_due ON webhook (due_at) WHERE delivered_at IS NULL;
"""
KEEP_MANY = """
INSERT INTO invoice (order_id, price, currency, pay_currency, network, details, id, status)
SELECT *, 'queued' FROM unnest($1::text[], $2::numeric[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[])
ON CONFLICT (order_id) DO NOTHING RETURNING id, order_id
"""
FIND = """
SELECT i.id, i.status, w.id AS webhook, w.body
FROM invoice i LEFT JOIN webhook w ON w.invoice_id = i.id AND w.delivered_at IS NULL WHERE i.order_id = $1
"""
KEEP = """
INSERT INTO invoice (id, order_id, status, price, currency, pay_currency, network, details)
VALUES ($1, $2, 'queued', $3, $4, $5, $6, $7) ON CONFLICT (order_id) DO NOTHING
"""
#: The answer and its event; nothing, where another job was quicker.
MAKE = """
WITH made AS (
    UPDATE invoice SET status = 'pending', provider_ref = $2, payment_url = $3,
        expires_at = now() + make_interval(mins => $4) WHERE id = $1 AND status = 'queued' RETURNING id)
INSERT INTO webhook (id, invoice_id, body) SELECT $5, id, $6 FROM made
"""
NOTE = "UPDATE webhook SET tries = tries + 1, delivered_at = now() WHERE id = $1"
LATER = "UPDATE webhook SET tries = tries + 1, due_at = now() + interval '5 s' * 2 ^ least(tries, 10) WHERE id = $1"
RUN_OUT = """
UPDATE invoice SET status = 'expired' WHERE id IN (
    SELECT id FROM invoice WHERE status = 'pending' AND expires_at <= now() LIMIT 500 FOR UPDATE SKIP LOCKED)
RETURNING id, order_id, price, currency
"""
ADD = "INSERT INTO webhook (id, invoice_id, body, due_at) VALUES ($1, $2, $3, now())"
UNSENT = """
UPDATE webhook SET due_at = now() + interval '30 seconds' WHERE id IN (
    SELECT id FROM webhook WHERE delivered_at IS NULL AND due_at <= now() LIMIT 100 FOR UPDATE SKIP LOCKED)
RETURNING id, body
"""

Order = Mapping[str, Any]
Work = Callable[[], Coroutine[Any, Any, None]]


class Shop:
    """The rival's own code over its queue."""

    def __init__(self, pool: asyncpg.Pool[Any], http: aiohttp.ClientSession) -> None:
        self.pool, self._http = pool, http

    async def whole_way(self, order: Order) -> None:
        """One order's job, from its message to the webhook's 2xx. Raises what the queue is to try again."""
        invoice_id = await self.keep(order)
        if invoice_id is None:
            await self._go_on(order)
        else:
            await self.make(invoice_id, order)

    async def keep(self, order: Order) -> str | None:
        """First commit. None: it came before."""
        invoice_id = uuid.uuid4().hex
        done = await self.pool.execute(KEEP, invoice_id, *columns(order))
        return invoice_id if done.endswith("1") else None

    async def _go_on(self, order: Order) -> None:
        """From where the row says that it stopped."""
        row = await self.pool.fetchrow(FIND, order["order_id"])
        if row["status"] == "queued":
            await self.make(row["id"], order)
        elif row["webhook"] is not None:
            await self.deliver(row["webhook"], row["body"])

    async def make(self, invoice_id: str, order: Order) -> None:
        """Call the provider, keep what it said, deliver the event."""
        webhook = await self.store(invoice_id, order, await self.call(order))
        if webhook is not None:
            await self.deliver(*webhook)

    async def store(self, invoice_id: str, order: Order, result: Mapping[str, Any]) -> tuple[str, str] | None:
        """Second commit: the answer and its event, which is returned; None where another job was quicker."""
        webhook_id = uuid.uuid4().hex
        body = event_of(webhook_id, "invoice.pending", invoice_id, order, result)
        made = (invoice_id, result["id"], result["url"], LIFETIME_MINUTES, webhook_id, body)
        done: str = await self.pool.execute(MAKE, *made)
        return (webhook_id, body) if done.endswith("1") else None

    async def call(self, order: Order) -> Mapping[str, Any]:
        """The provider's answer."""
        body = {
            "orderId": order["order_id"],
            "price": str(order["price"]),
            "baseCurrency": order["currency"],
            "coinSymbol": order.get("pay_currency"),
            "networkName": order.get("network"),
            "apiKey": "bench-key-000000",
        }
        async with self._http.post(f"{PROVIDER}/api/invoice/create", json=body) as answer:
            answer.raise_for_status()
            result: Mapping[str, Any] = (await answer.json())["result"]
            return result

    async def deliver(self, webhook_id: str, body: str) -> None:
        """Sign, post, and note: the third commit. What fails is left to the sweep."""
        try:
            content, headers = body.encode(), {"content-type": "application/json"}
            async with self._http.post(HOOK, data=content, headers=headers | _signed(webhook_id, content)) as answer:
                answer.raise_for_status()
        except (aiohttp.ClientError, TimeoutError):
            await self.pool.execute(LATER, webhook_id)
            return
        await self.pool.execute(NOTE, webhook_id)

    async def sweep(self) -> None:
        """Once a second, for ever: what has run out, and what was not delivered."""
        while True:
            async with self.pool.acquire() as connection, connection.transaction():
                for row in await connection.fetch(RUN_OUT):
                    webhook_id = uuid.uuid4().hex
                    body = event_of(webhook_id, "invoice.expired", row["id"], row, {})
                    await connection.execute(ADD, webhook_id, row["id"], body)
            for row in await self.pool.fetch(UNSENT):
                await self.deliver(row["id"], row["body"])
            await asyncio.sleep(1)


def columns(order: Order) -> tuple[Any, ...]:
    """An order as ``KEEP`` takes it, without the id."""
    price = Decimal(order["price"])
    details = json.dumps(order["metadata"])
    return order["order_id"], price, order["currency"], order.get("pay_currency"), order.get("network"), details


def event_of(event_id: str, kind: str, invoice_id: str, order: Order, result: Mapping[str, Any]) -> str:
    """The webhook's body."""
    data = {"id": invoice_id, "order_id": order["order_id"], "price": str(order["price"])}
    data |= {"currency": order["currency"], "status": kind.partition(".")[2], "payment_url": result.get("url")}
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    return json.dumps({"id": event_id, "type": kind, "time": now, "data": data})


def _signed(webhook_id: str, body: bytes) -> dict[str, str]:
    moment = str(int(time.time()))
    mac = hmac.new(KEY, f"{webhook_id}.{moment}.".encode() + body, hashlib.sha256).digest()
    signature = f"v1,{base64.b64encode(mac).decode()}"
    return {"webhook-id": webhook_id, "webhook-timestamp": moment, "webhook-signature": signature}


@contextlib.asynccontextmanager
async def open_shop() -> AsyncIterator[Shop]:
    """The shop of one worker process, its sweep running."""
    connector = aiohttp.TCPConnector(limit=2 * CONCURRENCY)
    timeout = aiohttp.ClientTimeout(total=CALL_SECONDS)
    async with (
        asyncpg.create_pool(DATABASE_URL, min_size=CONNECTIONS, max_size=CONNECTIONS) as pool,
        aiohttp.ClientSession(connector=connector, timeout=timeout) as http,
    ):
        shop = Shop(pool, http)
        sweep = asyncio.create_task(shop.sweep())
        try:
            yield shop
        finally:
            sweep.cancel()


async def create_tables() -> None:
    """The shop's own, in an empty database."""
    connection = await asyncpg.connect(DATABASE_URL)
    await connection.execute(SCHEMA)
    await connection.close()


async def keep_list(connection: Any, orders: Sequence[Order]) -> list[tuple[str, Order]]:
    """First commit of a list: those that are new, each with its invoice's id."""
    rows = list(zip(*(columns(order) for order in orders), strict=True))
    by_id = {order["order_id"]: order for order in orders}
    fresh = await connection.fetch(KEEP_MANY, *rows, [uuid.uuid4().hex for _ in orders])
    return [(row["id"], by_id[row["order_id"]]) for row in fresh]


def in_lists(orders: Sequence[Order]) -> list[Sequence[Order]]:
    """As ``create_many`` sends them."""
    return [orders[at : at + LIST] for at in range(0, len(orders), LIST)]


def main(setup: Work, work: Work, send: Callable[..., Coroutine[Any, Any, None]]) -> None:
    """``setup``, ``work``, or ``send KIND`` of the command line.

    What is to be sent comes by standard input: a JSON array of orders on a line, then a line when to begin.
    """
    verb, *kind = sys.argv[1:]
    if verb == "send":
        uvloop.run(send(*kind, _wait_for_orders()))
    else:
        uvloop.run({"setup": setup, "work": work}[verb]())


def _wait_for_orders() -> Sequence[Order]:
    orders: Sequence[Order] = json.loads(sys.stdin.readline())
    print("ready", flush=True)
    sys.stdin.readline()
    return orders
