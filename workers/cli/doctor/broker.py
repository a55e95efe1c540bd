"""The broker: whether it can be reached, and whether what waits in a queue is taken."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from workers.cli.doctor.finding import Finding
from workers.cli.doctor.redis_server import embedded_runs
from workers.transport.private import keys_of
from workers.transport.turns import lanes_of

if TYPE_CHECKING:
    from kombu import Connection
    from kombu.transport.redis import Channel

    from config.settings import Settings

TIMEOUT_SECONDS = 5.0
#: A process that reads the queue takes its oldest message within this, however busy it is.
WATCH_SECONDS = 3.0
LOOK_SECONDS = 0.25

#: The oldest item's length, beginning and end: enough to see whether it is still the same, however large it is.
_OLDEST = """
local item = redis.call('LINDEX', KEYS[1], -1)
if not item then return '' end
return #item .. ':' .. string.sub(item, 1, 500) .. string.sub(item, -2000)
"""


@dataclass(frozen=True, slots=True)
class QueueState:
    """``waiting``: messages that no process has taken. ``consumers``: None where the broker does not know."""

    waiting: int
    consumers: int | None
    oldest: Sequence[object]  #: changes when a message is taken; empty where the broker does not show it


@dataclass(frozen=True, slots=True)
class Watched:
    """A queue that was watched for a while. ``is_taken``: None where that can't be seen."""

    waiting: int
    consumers: int | None
    in_hand: int  #: delivered and not acknowledged, of all queues; 0 where the broker doesn't say
    is_taken: bool | None


def check_broker(config: Settings) -> Iterator[Finding]:
    """Connects as senders do."""
    from config.urls import redact_url

    if config.embedded_broker and not embedded_runs(config):
        detail = f"the embedded Valkey of {config.home} is not running: start it with `invoices up`"
        yield Finding("broker", "wrong", detail, "not_running", command="invoices up")
        return
    with connect(config) as connection:
        connection.ensure_connection(max_retries=1, timeout=TIMEOUT_SECONDS)
    yield Finding("broker", "ok", redact_url(config.broker_url))


def connect(config: Settings) -> Connection:
    """A connection, not yet opened."""
    from kombu import Connection

    from config.celeryconfig import celery_settings

    celery = celery_settings(config)
    options = {**celery["broker_transport_options"], "socket_timeout": TIMEOUT_SECONDS}
    if config.broker_url.startswith("amqp"):
        options = {**celery["broker_transport_options"], "read_timeout": TIMEOUT_SECONDS}
    return Connection(
        celery["broker_url"],
        ssl=celery["broker_use_ssl"],
        transport_options=options,
        connect_timeout=TIMEOUT_SECONDS,
    )


def count_messages(config: Settings, queue: str) -> int:
    """How many messages wait in a queue; 0 when it was never declared."""
    with connect(config) as connection:
        connection.ensure_connection(max_retries=1, timeout=TIMEOUT_SECONDS)
        return _look(connection, queue).waiting


def watch_queue(config: Settings, queue: str) -> Watched:
    """Look until a message is taken, for at most WATCH_SECONDS; at an empty queue only once."""
    with connect(config) as connection:
        connection.ensure_connection(max_retries=1, timeout=TIMEOUT_SECONDS)
        first = _look(connection, queue)
        in_hand = _in_hand(connection)
        taken = False if first.consumers == 0 else None
        until = time.monotonic() + WATCH_SECONDS
        while first.waiting and taken is None and time.monotonic() < until:
            time.sleep(LOOK_SECONDS)
            now = _look(connection, queue)
            if now.waiting < first.waiting or now.oldest != first.oldest:
                taken = True
    if taken is None and first.waiting and first.oldest:
        taken = False
    return Watched(first.waiting, first.consumers, in_hand, taken)


def _look(connection: Connection, queue: str) -> QueueState:
    """A queue that was never declared counts as empty."""
    channel = connection.channel()
    try:
        if connection.transport.driver_type == "redis":
            return _look_at_lists(channel, queue)
        declared = channel.queue_declare(queue, passive=True)
        return QueueState(declared.message_count, declared.consumer_count, ())
    except connection.channel_errors:
        return QueueState(0, None, ())
    finally:
        channel.close()


def _look_at_lists(channel: Channel, queue: str) -> QueueState:
    """One for each priority, and those of accounts that wait for their turns."""
    with channel.conn_or_acquire() as client:
        lists = [*keys_of(channel, queue), *lanes_of(client, queue, channel.global_keyprefix)]
        waiting = sum(client.llen(key) for key in lists)
        return QueueState(waiting, None, [client.eval(_OLDEST, 1, key) for key in lists] if waiting else ())


def _in_hand(connection: Connection) -> int:
    if connection.transport.driver_type != "redis":
        return 0
    channel = connection.channel()
    try:
        with channel.conn_or_acquire() as client:
            return int(client.hlen(f"{channel.global_keyprefix}{channel.unacked_key}"))
    finally:
        channel.close()
