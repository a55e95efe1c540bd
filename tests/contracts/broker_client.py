"""Consumers and raw looks at a broker's keys for the tests of our Redis transport and of kombu's own."""

from __future__ import annotations

import base64
import contextlib
import json
import socket
import time
import uuid
from typing import Any

import redis
from kombu import Connection, Consumer, Queue

import workers.transport

workers.transport.register()

SCHEMES = {"stock": "", "ours": "safe-"}
LEASE_SECONDS = 0.5
OPTIONS = {
    "visibility_timeout": LEASE_SECONDS,
    "unacked_restore_interval": 0.1,
    "unacked_restore_throttle": 1,
    "unacked_mutex_expire": 1,
    "deadletter_queue": "orders",
    "socket_timeout": 10,
}


class Broker:
    """One broker, a queue of its own, and consumers of one transport on it."""

    def __init__(self, url, redis_client, transport, **options):
        self.url = SCHEMES[transport] + url
        self.plain_url = url
        self.redis = redis_client
        self.options = {**OPTIONS, **options}
        self.prefix = options.get("global_keyprefix", "")

    def connect(self):
        return Connection(self.url, transport_options=self.options)

    def publish(self, *bodies, queue="orders", priority=None):
        """As any producer does: over kombu's own transport."""
        with Connection(self.plain_url, transport_options=self.options) as connection:
            producer = connection.Producer(serializer="json")
            for body in bodies:
                producer.publish(body, routing_key=queue, declare=[Queue(queue, routing_key=queue)], priority=priority)

    def push(self, item, queue="orders"):
        self.redis.lpush(self.prefix + queue, item)

    def waiting(self, queue="orders"):
        """Bodies of what waits, the next one first."""
        lists = [queue] + [f"{queue}\x06\x16{level}" for level in (3, 6, 9)]
        items = [item for name in lists for item in reversed(self.redis.lrange(self.prefix + name, 0, -1))]
        return [read_body(json.loads(item)) for item in items]

    def unacked(self):
        """How many messages are recorded, by the index and by the records."""
        return self.redis.zcard(f"{self.prefix}unacked_index"), self.redis.hlen(f"{self.prefix}unacked")


class Reader:
    """A consumer that keeps what it gets and acknowledges nothing by itself."""

    def __init__(self, broker, queues=("orders",), prefetch=0, no_ack=False):
        self.messages: list[Any] = []
        self.broken: list[tuple[Any, str]] = []
        self.connection = broker.connect()
        self.channel = self.connection.channel()
        self.consumer = Consumer(
            self.channel,
            [Queue(name, routing_key=name) for name in queues],
            on_message=self.messages.append,
            on_decode_error=lambda message, error: self.broken.append((message, str(error))),
            no_ack=no_ack,
            prefetch_count=prefetch or None,
        )
        self.consumer.consume()

    @property
    def bodies(self):
        return [json.loads(message.body) for message in self.messages]

    def read(self, count, seconds=60.0):
        """Wait until so many messages came in all."""
        end = time.monotonic() + seconds
        while len(self.messages) + len(self.broken) < count:
            assert time.monotonic() < end, f"{len(self.messages)} of {count} messages came"
            self.look()
        return self

    def look(self, seconds=0.1):
        """Give what is there a chance to come."""
        with contextlib.suppress(socket.timeout):
            self.connection.drain_events(timeout=seconds)

    def close(self):
        self.connection.release()

    def die(self):
        """End as a killed process does: the sockets close, nothing else happens."""
        for pool in (self.channel._pool, self.channel._async_pool):
            if pool is not None:
                for connection in [*pool._available_connections, *pool._in_use_connections]:
                    if connection._sock is not None:
                        connection._sock.close()
        self.channel.qos._on_collect.cancel()
        self.channel.qos._delivered.clear()


def read_body(message):
    text = message["body"]
    if message["properties"].get("body_encoding") == "base64":
        text = base64.b64decode(text).decode()
    try:
        return json.loads(text)
    except ValueError:
        return text


def raw_message(body, /, **changes):
    """A list item as kombu writes it."""
    message = {
        "body": json.dumps(body),
        "content-type": "application/json",
        "content-encoding": "utf-8",
        "headers": {"id": uuid.uuid4().hex},
        "properties": {
            "delivery_tag": uuid.uuid4().hex,
            "delivery_info": {"exchange": "", "routing_key": "orders"},
        },
    }
    return json.dumps({**message, **changes})


def connect_redis(broker_url, database):
    """redis-py and kombu addresses of one numbered database of a server."""
    if broker_url.startswith("redis+socket://"):
        path = broker_url.removeprefix("redis+socket://").partition("?")[0]
        return redis.Redis(unix_socket_path=path, db=database), f"redis+socket://{path}?virtual_host={database}"
    base = broker_url.rstrip("/").rsplit("/", 1)[0] if broker_url.count("/") > 2 else broker_url
    return redis.Redis.from_url(f"{base}/{database}"), f"{base}/{database}"
