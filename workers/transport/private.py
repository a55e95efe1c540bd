"""Every private part of Celery, kombu and amqp that is used here, in one place, with the versions it was read against.

These packages promise nothing about names with an underscore. To raise one of the versions, compare this file with the
new release, change ``READ_AGAINST``, and run the contract tests. ``check_versions`` says at start what is wrong.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import structlog
from kombu.transport import TRANSPORT_ALIASES, _transport_cache
from redis.exceptions import ConnectionError as BrokerConnectionError

if TYPE_CHECKING:
    from kombu.message import Message
    from kombu.transport.redis import Channel as MixedInto
    from redis import Redis
else:
    MixedInto = object  # at run time kombu's channel comes after it

log = structlog.get_logger()

#: Package -> the release whose source was read. Another patch release of the same minor is trusted.
READ_AGAINST = {"amqp": "5.4.2", "celery": "5.7.0", "kombu": "5.7.0"}

#: What must exist, by "module:class": kombu calls it and we override it, or we call it.
HOOKS: dict[str, tuple[str, ...]] = {
    "kombu.transport.redis:Channel": (
        *("_brpop_start", "_brpop_read", "_subscribe", "_receive", "_handle_message", "_poll_error", "_create_client"),
        *("_flush_brpop_reauth", "_q_for_pri", "_queue_bind", "_maybe_update_queues_expire", "_disconnect_pools"),
        *("_lookup", "_get_message_priority", "conn_or_acquire", "pool", "async_pool", "active_queues"),
    ),
    "kombu.transport.redis:MultiChannelPoller": ("on_poll_start", "maybe_restore_messages"),
    "kombu.transport.redis:QoS": (
        *("append", "restore_unacked", "ack", "reject", "restore_visible", "restore_by_tag", "can_consume"),
        *("can_consume_max_estimate", "unacked_key", "unacked_index_key", "visibility_timeout"),
    ),
    "kombu.transport.virtual:Transport": ("_deliver",),
    "amqp.method_framing:frame_handler": (),
    "celery.worker.consumer:Consumer": ("create_task_handler", "on_decode_error", "Blueprint"),
    "celery.worker.control:Panel": ("data",),
    "celery.beat:Scheduler": ("apply_async", "reserve", "close"),
}


class MissingHookError(RuntimeError):
    """The installed Celery, kombu or amqp lacks a private part that we need. The message is one line."""


def check_versions() -> None:
    """Warn where another minor release than the one that was read is installed; raise MissingHookError if a hook is
    gone."""
    other = [
        f"{package} {installed} (read: {read})"
        for package, read in READ_AGAINST.items()
        if _minor(installed := version(package)) != _minor(read)
    ]
    missing = _missing_hooks()
    if missing:
        about = f"; installed are {', '.join(other)}" if other else ""
        raise MissingHookError(f"{', '.join(missing)} is gone, and workers depend on it{about}")
    if other:
        log.warning("transport.unread_versions", installed=", ".join(other), consequence="its private parts may differ")


def _minor(release: str) -> tuple[str, ...]:
    return tuple(release.split(".")[:2])


def _missing_hooks() -> list[str]:
    from importlib import import_module

    missing = []
    for place, names in HOOKS.items():
        module, owner = place.split(":")
        found = getattr(import_module(module), owner, None)
        missing += [place] if found is None else [f"{place}.{name}" for name in names if not hasattr(found, name)]
    return missing


# --- kombu's table of transports --------------------------------------------------------------------------------------


def add_transports(by_scheme: dict[str, str]) -> None:
    """From now on a URL with one of these schemes is served by the named ``module:class``."""
    TRANSPORT_ALIASES.update(by_scheme)
    for scheme in by_scheme:
        _transport_cache.pop(scheme, None)


# --- messages ---------------------------------------------------------------------------------------------------------


def replace_body(message: Message, arguments: Sequence[object]) -> None:
    """Make a message a call with these arguments, which may be any objects: without a content type Celery hands them to
    the task as they are. So tasks must run in this process, as in Celery's pools ``threads`` and ``solo``."""
    message.body = message._decoded_cache = [arguments, {}, {}]
    message.content_type = message.content_encoding = None
    message.errors = []


# --- kombu's Redis channel --------------------------------------------------------------------------------------------


def keys_of(channel: MixedInto, queue: str) -> list[str]:
    """The keys of a queue's lists, one for each priority, on one of kombu's own channels."""
    return [f"{channel.global_keyprefix}{channel._q_for_pri(queue, level)}" for level in channel.priority_steps]


class ChannelHooks(MixedInto):
    """kombu's Redis channel by public names; to be mixed into one of its channel classes.

    kombu calls the private methods, which call ``start_claim``, ``finish_claim``, ``bound_broadcast`` and ``refusals``:
    a subclass defines those. The public methods below are what such a subclass needs of kombu.
    """

    # What a subclass defines.

    def start_claim(self, timeout: float | None) -> None:
        """Ask the server for messages. ``timeout``: seconds the server may wait; None: as configured."""
        raise NotImplementedError

    def finish_claim(self) -> None:
        """Read the answer and deliver what it brought; raise ``queue.Empty`` if that is nothing."""
        raise NotImplementedError

    def bound_broadcast(self, data: object) -> object:
        """A broadcast's data, or None for one that is not taken."""
        raise NotImplementedError

    def refusals(self) -> AbstractContextManager[None]:
        """Goes around every step that asks the server: turns a refusal into what kombu treats as a lost connection."""
        raise NotImplementedError

    # What kombu calls.

    def _brpop_start(self, timeout: float | None = None) -> None:
        self.start_claim(timeout)

    def _brpop_read(self, **_: object) -> bool:
        try:
            self.finish_claim()
            return True
        finally:
            self._in_poll = None
            self._flush_brpop_reauth()

    def _subscribe(self) -> None:
        with self.refusals():
            super()._subscribe()

    def _receive(self) -> object:
        with self.refusals():
            return super()._receive()

    def _poll_error(self, kind: object, **options: object) -> None:
        with self.refusals():
            super()._poll_error(kind, **options)

    def _handle_message(self, client: object, r: object) -> dict[str, object]:
        payload: dict[str, object] = super()._handle_message(client, r)
        payload["data"] = self.bound_broadcast(payload["data"])
        return payload

    def _create_client(self, asynchronous: bool = False) -> object:
        """kombu makes a client for each acknowledgement; one will do for everything except claiming."""
        if asynchronous:
            return super()._create_client(asynchronous=True)
        kept = self.__dict__.get("_one_client")
        if kept is None or kept.connection_pool is not self.pool:
            kept = self._one_client = super()._create_client()
        return kept

    @contextmanager
    def conn_or_acquire(self, client: Redis | None = None) -> Iterator[Any]:
        """A connection for everything except claiming and listening."""
        with self.refusals(), super().conn_or_acquire(client) as acquired:
            yield acquired

    @property
    def pool(self) -> object:
        """Connections for everything except claiming; raises a connection error if the channel is closed."""
        self._check_open()
        return super().pool

    @property
    def async_pool(self) -> object:
        """The connections of the event loop; raises a connection error if the channel is closed."""
        self._check_open()
        return super().async_pool

    def _check_open(self) -> None:
        # kombu fails on None here (AttributeError), which ends a Celery worker. It happens when a task that outlived
        # its connection acknowledges its message.
        if self.connection is None or self.connection.client is None:
            raise BrokerConnectionError("the channel is closed")

    def close(self) -> None:
        """Close the channel and every connection of it."""
        super().close()
        self._disconnect_pools()  # one was opened again to put messages back

    # What a subclass needs of kombu.

    def next_queues(self) -> list[str]:
        """The queues to be asked now, the one whose turn it is first."""
        queues: list[str] = self._queue_cycle.consume(len(self.active_queues))
        return queues

    def had_its_turn(self, queue: str) -> None:
        """A queue brought a message: the others come first next time."""
        self._queue_cycle.rotate(queue)

    def send_claim(self, commands: list[list[object]]) -> None:
        """Send commands on the event loop's connection; kombu calls ``_brpop_read`` when an answer comes."""
        connection = self.client.connection
        self._in_poll = connection
        self._brpop_sent_at = time.monotonic()
        connection.send_packed_command(connection.pack_commands(commands))

    def awaited_connection(self) -> Any:
        """The connection on which a claim's answer is still to come, or None."""
        return self._in_poll

    def await_nothing(self) -> None:
        """Expect no answer any more."""
        self._in_poll = None

    def deliver(self, payload: dict[str, object], queue: str) -> None:
        """Hand a message to the consumers of its queue."""
        self.connection._deliver(payload, queue)

    def list_of(self, queue: str, level: int) -> str:
        """The name of the list that holds a queue's messages of one priority."""
        name: str = self._q_for_pri(queue, level)
        return name

    def lists_for(self, message: dict[str, object], exchange: str, routing_key: str, otherwise: str) -> list[str]:
        """The lists that a message belongs to; ``otherwise``: the queue to take where its exchange leads nowhere."""
        level = self._get_message_priority(message, reverse=False)
        return [self._q_for_pri(queue, level) for queue in self._lookup(exchange, routing_key) or [otherwise]]

    def bind_again(self, queue: str) -> None:
        """Say again on the server which exchanges lead to a queue (broadcasts excepted)."""
        for bound in list(self.state.queue_bindings(queue)):
            kind = self.typeof(bound.exchange)
            if kind.type != "fanout":
                meta = kind.prepare_bind(queue, bound.exchange, bound.routing_key, bound.arguments)
                self._queue_bind(bound.exchange, *meta)

    def refresh_expiry(self, client: Redis, queue: str) -> None:
        """Note that a queue was used just now: it may expire unused."""
        self._maybe_update_queues_expire(client, queue)
