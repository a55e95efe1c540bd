"""Callbacks that came while the database was away: kept in a queue of the broker's until it is back.

Whatever lies in the queue is checked once more when it is taken out: anybody who may push to the broker could have put
it there. A process that dies between keeping and acknowledging leaves a callback twice; the same bytes are kept once.
"""

from __future__ import annotations

import base64
import contextlib
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import structlog

from workers.store.database import UNAVAILABLE, may_be_its_own
from workers.transport.side_queue import SideQueue

if TYPE_CHECKING:
    from celery import Celery
    from kombu.message import Message

log = structlog.get_logger()

QUEUE = "invoices.callbacks"
FIRST_WAIT_SECONDS = 1.0
LONGEST_WAIT_SECONDS = 30.0
#: An empty queue is looked at this often: what a process kept before it ended is everybody's.
LOOK_SECONDS = 10.0
_RETRY = {"max_retries": 1, "interval_start": 0.1}

Headers = Sequence[tuple[str, str]]
#: Keeps a callback in the database, or turns it away. Raises UNAVAILABLE.
Take = Callable[[str, bytes, Headers], None]


class Shelf:
    """The queue, for one process."""

    def __init__(self, app: Celery) -> None:
        self._app = app
        self._queue = SideQueue(app, QUEUE, _RETRY)
        self._filled = threading.Event()

    def put(self, account: str, body: bytes, headers: Headers) -> None:
        """When this returns the broker has it. Raises the broker's errors."""
        fields = {
            "account": account,
            "body": base64.b64encode(body).decode(),
            "headers": [list(one) for one in headers],
        }
        self._queue.put(fields)
        self._filled.set()

    def run(self, take: Take, stopping: threading.Event) -> None:
        """Empty the queue whenever the database is there, until the process stops. What can't be kept for a reason of
        its own stays, behind the others."""
        wait = FIRST_WAIT_SECONDS
        while not stopping.is_set():
            self._filled.clear()
            try:
                self._empty(take, stopping)
            except Exception as error:  # noqa: BLE001 - the database or the broker is away: what was in hand goes back
                log.warning("callback.still_on_the_shelf", error=type(error).__name__, again_in_seconds=wait)
                stopping.wait(wait)
                wait = min(wait * 2, LONGEST_WAIT_SECONDS)
            else:
                wait = FIRST_WAIT_SECONDS
                if self._filled.wait(LOOK_SECONDS):
                    stopping.wait(wait)  # what made us keep it here is not over in a moment

    def wake(self) -> None:
        """Have ``run`` look whether it is to stop."""
        self._filled.set()

    def _empty(self, take: Take, stopping: threading.Event) -> None:
        with (
            contextlib.closing(self._app.connection_for_read(heartbeat=0)) as connection,
            connection.channel() as channel,
        ):
            queue, failure = self._queue.declared()(channel), None
            for _ in range(queue.queue_declare().message_count):
                message = None if stopping.is_set() else queue.get()
                if message is None:
                    break
                found = _read(message)
                if found is None:
                    message.ack()
                    log.warning("callback.none_on_the_shelf", size=len(message.body or b""))
                    continue
                try:
                    take(*found)
                except Exception as error:
                    if isinstance(error, UNAVAILABLE) and not may_be_its_own(error):
                        message.requeue()
                        raise
                    self.put(*found)  # behind the others: it holds up none, and is there before it goes here
                    failure = failure or error
                else:
                    log.info("callback.taken_from_the_shelf", account=found[0])
                message.ack()
        if failure is not None:
            raise failure


def _read(message: Message) -> tuple[str, bytes, Headers] | None:
    """What ``put`` wrote; None for what somebody else put there."""
    try:
        fields = message.decode()
        headers = [(str(name), str(value)) for name, value in fields["headers"]]
        return str(fields["account"]), base64.b64decode(fields["body"], validate=True), headers
    except Exception:  # noqa: BLE001 - anybody's text
        return None
