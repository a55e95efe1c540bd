"""What acts of the console need beside the store: the guard of addresses and the seal of secrets, whoever carries out
replays, and the broker."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kombu.exceptions import OperationalError

from workers.store.operate.redrive import Send
from workers.transport.messages import as_it_is, new_task_id, publish
from workers.web.api.endpoints import Webhooks

if TYPE_CHECKING:
    from celery import Celery
    from kombu import Queue


#: The broker is waited for no longer than that.
BROKER_SECONDS = 5


class BrokerAway(Exception):  # noqa: N818 - reads as what happened
    """The broker does not take a message; what was not sent waits where it was. The text is one line for people."""


@dataclass(frozen=True, slots=True)
class Reach:
    """All of it. ``open_broker``: how messages are sent, as long as it is open; sending raises BrokerAway."""

    webhooks: Webhooks
    wake_replays: Callable[[], None]
    open_broker: Callable[[], AbstractContextManager[Send]]


class Broker:
    """Sends messages to the queue of orders."""

    def __init__(self, app: Celery, queue: Queue) -> None:
        self._app = app
        self._queue = queue

    @contextmanager
    def open(self) -> Iterator[Send]:
        """One connection, made with the first message."""
        with closing(self._app.connection_for_write(heartbeat=0)) as connection:

            def send(task: str, text: str) -> None:
                try:
                    connection.ensure_connection(max_retries=1, timeout=BROKER_SECONDS)
                    publish(connection, self._queue, task, new_task_id(), as_it_is(text))
                except (OperationalError, *connection.connection_errors, *connection.channel_errors, OSError) as error:
                    raise BrokerAway(f"The broker can't be reached ({type(error).__name__}).") from error

            yield send
