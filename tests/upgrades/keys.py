"""What a release leaves in Redis: the stream and its fence, a breaker, a rate, a bell, and a message in dead hands."""

from __future__ import annotations

import asyncio
import base64
import json
from pathlib import Path
from typing import Any

import redis
from kombu import Connection

from config.celeryconfig import REDIS_OPTIONS
from domain.decision import Stage
from tests.contracts.broker_client import Broker, Reader
from workers.coordination.breaker import TELL_SECONDS, Breaker, BreakerLimits
from workers.coordination.connections import open_async_redis
from workers.coordination.rate_limit import RateLimit
from workers.delivery.stream import EventStream

#: The order that a worker of the release had claimed when it was killed.
HELD_ORDER = "held-by-the-dead"
STREAM = "invoices:events"
#: A fence of the day the release was kept: microseconds since 1970, as the publisher's leases count.
FENCE = 1_763_780_000_000_000


def build_keys(redis_url: str, broker_url: str, endpoint_id: str, held: dict[str, Any]) -> None:
    """Fill an empty server by the release's own code; ``held`` is the claimed list item."""
    asyncio.run(_build(redis_url, endpoint_id))
    with redis.Redis.from_url(redis_url) as client:
        client.set(f"invoices:bell:{Stage.CREATE}:zeroxhost", "1", px=1000)
        client.lpush("invoices.intake", json.dumps(held))
        reader = Reader(Broker(broker_url, client, "ours", **REDIS_OPTIONS), queues=("invoices.intake",)).read(1)
        reader.die()
    with Connection(broker_url) as connection:
        connection.SimpleQueue("invoices.intake").close()  # the bindings that any sender leaves


async def _build(redis_url: str, endpoint_id: str) -> None:
    client = open_async_redis(redis_url)
    await EventStream(client, STREAM, 1000).append([("evt_1", b'{"id":"evt_1","type":"invoice.paid"}')], FENCE)
    await RateLimit(client, {"zeroxhost": 50.0}).take("zeroxhost", 20)
    breaker = Breaker(client, BreakerLimits(least_tries=2))
    for _ in range(2):
        breaker.note(endpoint_id, succeeded=False)
    while not await client.hget(f"invoices:breaker:{endpoint_id}", "open_until"):  # noqa: ASYNC110 - only Redis tells
        await asyncio.sleep(TELL_SECONDS)  # it tells the others after a moment
    await client.aclose()


def dump_keys(client: Any) -> str:
    """One key a line, whatever its type, as a value that ``load_keys`` can write."""
    lines = [{"key": key.decode(), **_value(client, key)} for key in sorted(client.keys("*"))]
    return "".join(json.dumps(line, sort_keys=True) + "\n" for line in lines)


def _value(client: Any, key: bytes) -> dict[str, Any]:
    kind = client.type(key).decode()
    read = {
        "string": lambda: _text(client.get(key)),
        "hash": lambda: {_text(name): _text(value) for name, value in client.hgetall(key).items()},
        "zset": lambda: {_text(name): score for name, score in client.zrange(key, 0, -1, withscores=True)},
        "set": lambda: sorted(_text(member) for member in client.smembers(key)),
        "list": lambda: [_text(item) for item in client.lrange(key, 0, -1)],
        "stream": lambda: [{_text(n): _text(v) for n, v in fields.items()} for _, fields in client.xrange(key)],
    }
    return {"type": kind, "value": read[kind](), "milliseconds": max(client.pttl(key), 0)}


def load_keys(client: Any, path: Path) -> None:
    """Write what ``dump_keys`` read, to expire as soon as it was to."""
    for line in path.read_text().splitlines():
        kept = json.loads(line)
        key, value = kept["key"], kept["value"]
        if kept["type"] == "string":
            client.set(key, _bytes(value))
        elif kept["type"] == "hash":
            client.hset(key, mapping={_bytes(name): _bytes(text) for name, text in value.items()})
        elif kept["type"] == "zset":
            client.zadd(key, {_bytes(name): score for name, score in value.items()})
        elif kept["type"] == "set":
            client.sadd(key, *map(_bytes, value))
        elif kept["type"] == "list":
            client.rpush(key, *map(_bytes, value))
        else:
            for fields in value:
                client.xadd(key, {_bytes(name): _bytes(text) for name, text in fields.items()})
        if kept["milliseconds"]:
            client.pexpire(key, kept["milliseconds"])


def _text(value: Any) -> str:
    """Text as it is, where it is text; else in base64 behind a mark."""
    try:
        return str(value.decode())
    except UnicodeDecodeError:
        return "base64:" + base64.b64encode(value).decode()


def _bytes(text: str) -> bytes:
    return base64.b64decode(text.removeprefix("base64:")) if text.startswith("base64:") else text.encode()
