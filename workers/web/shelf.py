"""The shelf: a queue of the broker that keeps callbacks while the database is away.

A callback is checked again when it is taken out: anybody who may push to the broker could have put it there. When a
process dies between storing and acknowledging, the callback is taken out again; the same bytes are stored once.
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
#: How often an empty queue is looked at: another process may have filled it before it ended.
LOOK_SECONDS = 10.0
_RETRY = {"max_retries": 1, "interval_start": 0.1}

Headers = Sequence[tuple[str, str]]
#: Stores a callback in the database, or turns it away. Raises UNAVAILABLE.
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
        """Empty the queue whenever the database answers, until the process stops. A callback that fails for a reason of
        its own goes behind the others and stays."""
        wait = FIRST_WAIT_SECONDS
        while not stopping.is_set():
            self._filled.clear()
            try:
                self._empty(take, stopping)
            except Exception as error:  # noqa: BLE001 - database or broker away: what was taken goes back
                log.warning("callback.still_on_the_shelf", error=type(error).__name__, again_in_seconds=wait)
                stopping.wait(wait)
                wait = min(wait * 2, LONGEST_WAIT_SECONDS)
            else:
                wait = FIRST_WAIT_SECONDS
                if self._filled.wait(LOOK_SECONDS):
                    stopping.wait(wait)  # the database was away a moment ago, and most likely still is

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
                    # Behind the others, which it must not hold up; before the ack, so that it can't be lost.
                    self.put(*found)
                    failure = failure or error
                else:
                    log.info("callback.taken_from_the_shelf", account=found[0])
                message.ack()
        if failure is not None:
            raise failure


def _read(message: Message) -> tuple[str, bytes, Headers] | None:
    """What ``put`` wrote; None for anything else."""
    try:
        fields = message.decode()
        headers = [(str(name), str(value)) for name, value in fields["headers"]]
        return str(fields["account"]), base64.b64decode(fields["body"], validate=True), headers
    except Exception:  # noqa: BLE001 - it may be anything
        return None
