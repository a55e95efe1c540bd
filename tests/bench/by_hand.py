"""`python -m tests.bench.by_hand`: an order's whole way by hand, in Python, with nothing decided, leased or made safe.

It takes orders from a list of Valkey, keeps the rows that ours leave behind, calls the provider, writes the event and
the stream's entry, posts the signed webhook and notes its 2xx: over the same HTTP client, event loop and driver, in
batches as large as what has gathered. What it lacks is what makes an order survive: leases, locks, a judgement, limits,
masks, and a second try of anything. So it is no goal; it shows what all that costs.

Settings: HAND_DATABASE_URL (a migrated database), HAND_REDIS_URL, HAND_PROVIDER_URL, HAND_HOOK_URL, HAND_SECRET.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from types import SimpleNamespace
from typing import cast

import psycopg
import redis.asyncio

from config.logging import configure_logging
from domain.event import Told, envelope, new_id
from domain.exact_json import read_json, write_json
from tests.bench.by_hand_sql import Keeper
from workers.delivery.attempt import Outgoing
from workers.delivery.webhook import signed_headers
from workers.engine.loop import new_loop
from workers.http.client import LeanClient, make_request
from workers.providers.call import open_client

QUEUE, STREAM = "by-hand", "by-hand:events"
WIDTH = 400  #: calls at a time to the provider, and as many to the receiver
TAKEN = 100  #: messages at a time
GATHER_SECONDS = 0.1  #: between two transactions of one kind
JSON = {"content-type": "application/json"}


async def main() -> None:
    """Work until the process is ended."""
    pump = Hand(os.environ)
    async with open_client(2 * WIDTH) as client, asyncio.TaskGroup() as group:
        for step in (pump.take, pump.make, pump.note):
            group.create_task(step())
        for _ in range(WIDTH):
            group.create_task(pump.call(client))
            group.create_task(pump.post(client))
        print("by hand ready.", flush=True)


class Hand:
    """The steps, each a loop; between them stand queues in this process's memory."""

    def __init__(self, settings: Mapping[str, str]) -> None:
        url = settings["HAND_DATABASE_URL"].replace("postgresql+psycopg", "postgresql")
        self._keepers = [Keeper(psycopg.connect(url)) for _ in range(3)]
        self._redis = redis.asyncio.Redis.from_url(settings["HAND_REDIS_URL"])
        self._provider = f"{settings['HAND_PROVIDER_URL']}/api/invoice/create"
        self._hook, self._secret = settings["HAND_HOOK_URL"], settings["HAND_SECRET"]
        self._to_call: asyncio.Queue[SimpleNamespace] = asyncio.Queue()
        self._to_post: asyncio.Queue[SimpleNamespace] = asyncio.Queue()
        self._made: deque[SimpleNamespace] = deque()
        self._posted: deque[SimpleNamespace] = deque()

    async def take(self) -> None:
        """Messages become rows."""
        while True:
            messages = cast("list[bytes] | None", await self._redis.rpop(QUEUE, TAKEN))
            if not messages:
                await asyncio.sleep(0.01)
                continue
            orders = [_read(message) for message in messages]
            await asyncio.to_thread(self._keepers[0].keep, orders)
            for order in orders:
                self._to_call.put_nowait(order)

    async def call(self, client: LeanClient) -> None:
        """The provider makes an invoice."""
        while True:
            order = await self._to_call.get()
            told = {"price": order.price, "orderId": order.order_id, "baseCurrency": "eur"}
            told |= {"coinSymbol": order.pay_currency, "networkName": order.network}
            order.raw = await _answer(
                client, self._provider, JSON, write_json({"apiKey": "bench-key", **told}).encode()
            )
            result = read_json(order.raw)["result"]
            order.provider_ref, order.payment_url = result["id"], result["url"]
            self._made.append(order)

    async def make(self) -> None:
        """What the provider said, the event, the webhook that is to be sent; then the stream."""
        async for orders in _gathered(self._made):
            await asyncio.to_thread(self._keepers[1].make, orders, _tell)
            pipe = self._redis.pipeline(transaction=False)
            for order in orders:
                pipe.xadd(STREAM, {"event": order.body}, maxlen=100_000, approximate=True)
                self._to_post.put_nowait(order)
            await pipe.execute()

    async def post(self, client: LeanClient) -> None:
        """The webhook, signed."""
        while True:
            order = await self._to_post.get()
            began = time.monotonic()
            signed = signed_headers(Outgoing(self._hook, (self._secret,), order.event_id, order.body), int(time.time()))
            await _answer(client, self._hook, JSON, order.body, signed)
            order.latency_ms = round((time.monotonic() - began) * 1000)
            self._posted.append(order)

    async def note(self) -> None:
        """The webhook's 2xx."""
        async for orders in _gathered(self._posted):
            await asyncio.to_thread(self._keepers[2].note, orders)


async def _gathered(found: deque[SimpleNamespace]) -> AsyncIterator[list[SimpleNamespace]]:
    while True:
        await asyncio.sleep(GATHER_SECONDS)
        if found:
            batch = list(found)
            found.clear()
            yield batch


async def _answer(
    client: LeanClient, url: str, headers: Mapping[str, str], body: bytes, own: Mapping[str, str] | None = None
) -> bytes:
    reply = await client.exchange(make_request("POST", url, headers, body, own))
    assert reply.status_code in {200, 201}
    content = reply.whole()
    if content is None:
        content = b"".join([part async for part in _parts(reply.read)])
    await reply.aclose()
    return content


async def _parts(read: Callable[[], Awaitable[bytes]]) -> AsyncIterator[bytes]:
    while part := await read():
        yield part


def _read(message: bytes) -> SimpleNamespace:
    body = base64.b64decode(read_json(message)["body"])
    order = read_json(body)[1]
    order["digest"] = hashlib.sha256(body).hexdigest()
    order["metadata_json"] = write_json(order["metadata"])
    order["price"] = Decimal(order["price"])
    return SimpleNamespace(id=new_id("inv"), **order)


def _tell(order: SimpleNamespace, now: datetime) -> None:
    """Give the order its event's id and body."""
    order.event_id = new_id("evt")
    lacking = dict.fromkeys(("anomaly", "pay_amount", "address", "qr_code", "paid_amount", "reason", "trace"))
    invoice = SimpleNamespace(
        **{**lacking, **vars(order)},
        provider="nebulox",
        provider_account=order.account,
        idempotency_key=order.order_id,
        status="pending",
        lifetime_minutes=Decimal(60),
        expires_at=now + timedelta(hours=1),
        updated_at=now,
        sequence=1,
    )
    order.body = envelope(
        cast("Told", invoice), event_id=order.event_id, event_type="invoice.pending", previous_status="queued", time=now
    )


if __name__ == "__main__":
    configure_logging("json", "info", None)
    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(main())
