"""What we are compared with where nothing is to be kept: bare loops over the same HTTP clients, and a raw protocol."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from domain.exact_json import write_json
from tests.bench.ground import SECRET, Ground, order_fields
from workers.delivery.attempt import Outgoing
from workers.delivery.webhook import WebhookSender, signed_headers
from workers.engine.loop import new_loop
from workers.http.address import AddressGuard
from workers.http.client import LeanClient, make_request
from workers.http.messages import Request
from workers.http.name_lookup import SystemLookup
from workers.providers.call import open_client

#: As long as an event of ours.
EVENT_BODY = write_json({"type": "invoice.pending", "data": {**order_fields("o-1"), "more": "x" * 900}}).encode()

JSON = {"content-type": "application/json"}


def on_the_workers_loop(run: Callable[[], Awaitable[float]]) -> float:
    """A bare side is to have no slower a loop than ours."""

    async def main() -> float:
        return await run()

    with asyncio.Runner(loop_factory=new_loop) as runner:
        return runner.run(main())


async def in_flight(count: int, width: int, call: Callable[[], Awaitable[Any]]) -> float:
    """``count`` calls, ``width`` at a time; calls a second."""
    left = iter(range(count))

    async def work() -> None:
        for _ in left:
            await call()

    start = time.perf_counter()
    await asyncio.gather(*(work() for _ in range(width)))
    return count / (time.perf_counter() - start)


def creates(ground: Ground, count: int, width: int, delay_ms: int) -> float:
    """POSTs of a create over the providers' client."""
    return on_the_workers_loop(lambda: create_calls(ground, count, width, delay_ms))


async def create_calls(
    ground: Ground, count: int, width: int, delay_ms: int, answered: Callable[[], object] = lambda: None
) -> float:
    """The same on a loop that runs; ``answered`` is called after each."""
    url = f"{ground.provider_url(delay_ms)}/api/invoice/create"
    body = write_json({"apiKey": "bench-key-000000", "price": 12.5, "orderId": "o-1"}).encode()
    async with open_client(width + 100) as client:

        async def call() -> None:
            assert (await exchange(client, make_request("POST", url, JSON, body)))[0] == 201
            answered()

        return await in_flight(count, width, call)


def hooks(ground: Ground, count: int, width: int) -> float:
    """POSTs of an event over the webhooks' client; signed once, for all."""
    outgoing = Outgoing(ground.hook_url, (SECRET,), "evt_1", EVENT_BODY, {})
    headers = JSON | signed_headers(outgoing, int(time.time()))

    async def run() -> float:
        async with hook_client(ground) as (client, url):

            async def call() -> None:
                assert (await exchange(client, make_request("POST", url, headers, EVENT_BODY)))[0] == 200

            return await in_flight(count, width, call)

    return on_the_workers_loop(run)


@contextlib.asynccontextmanager
async def hook_client(ground: Ground) -> AsyncIterator[tuple[LeanClient, str]]:
    """The webhooks' client, and the receiver's address as it is checked."""
    guard = AddressGuard([f"127.0.0.1:{ground.port}"], SystemLookup())
    async with WebhookSender(guard) as sender:
        client = sender._client
        assert client is not None
        yield client, guard.check_url(ground.hook_url).url


async def exchange(client: LeanClient, request: Request) -> tuple[int, bytes]:
    """The answer's status and body, once all of it was read."""
    reply = await client.exchange(request)
    body = reply.whole()
    if body is None:
        body = b""
        while part := await reply.read():
            body += part
    await reply.aclose()
    return reply.status_code, body


class _Asker(asyncio.Protocol):
    """Sends the same request again as soon as it is answered."""

    def __init__(self, request: bytes, left: list[int], done: asyncio.Event) -> None:
        self._request, self._left, self._done = request, left, done
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._left[0] -= 1
        if self._left[0] > 0:
            self._transport.write(self._request)
        else:
            self._done.set()


def ceiling(ground: Ground, count: int, width: int, path: str = "/d0/x") -> float:
    """What the stand-in answers to a raw protocol: nothing else is in the way."""

    async def run() -> float:
        head = f"POST {path} HTTP/1.1\r\nhost: x\r\nwebhook-id: evt_1\r\ncontent-length: {len(EVENT_BODY)}\r\n\r\n"
        request = head.encode() + EVENT_BODY
        done, left = asyncio.Event(), [count]
        loop, start = asyncio.get_running_loop(), time.perf_counter()
        made = [
            await loop.create_connection(lambda: _Asker(request, left, done), "127.0.0.1", ground.port)
            for _ in range(width)
        ]
        await done.wait()
        for transport, _ in made:
            transport.abort()
        return count / (time.perf_counter() - start)

    return on_the_workers_loop(run)
