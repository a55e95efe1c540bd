"""Puts tasks on the intake queue. With kombu alone: Celery would write decimals in a form of its own."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Self

from kombu import Connection

from config.celeryconfig import INTAKE_QUEUE, celery_settings
from config.urls import redact_url
from workers.cli.errors import CommandFailed
from workers.transport.messages import as_it_is, new_task_id, publish

if TYPE_CHECKING:
    from config.settings import Settings

FIRST_WAIT_SECONDS = 0.2
LONGEST_WAIT_SECONDS = 3.0


class Publisher:
    """Sends messages of Celery's protocol 2 over one connection, made for the first message."""

    def __init__(self, settings: Settings, *, patience_seconds: float, notice: Callable[[str], None]) -> None:
        """``notice`` gets one line when the broker is away; sending fails after ``patience_seconds`` of that."""
        celery = celery_settings(settings)
        self._url = celery["broker_url"]
        self._connection = Connection(
            self._url,
            ssl=celery["broker_use_ssl"],
            transport_options=celery["broker_transport_options"],
            connect_timeout=5,
        )
        self._queue = next(queue for queue in celery["task_queues"] if queue.name == INTAKE_QUEUE)
        self._patience_seconds = patience_seconds
        self._notice = notice

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.release()

    def send(self, task: str, fields: object) -> str:
        """Send a task with these keyword arguments (numbers keep their digits); returns the message's id.

        Waits while the broker is away. When an answer of the broker was lost a message may arrive twice, which every
        task of the intake takes without harm. Raises CommandFailed.
        """
        task_id = new_task_id()
        deadline = time.monotonic() + self._patience_seconds
        wait = FIRST_WAIT_SECONDS
        while True:
            try:
                publish(self._connection, self._queue, task, task_id, fields)
            except (*self._connection.connection_errors, *self._connection.channel_errors, OSError) as error:
                self._connection.close()
                place = redact_url(self._url)
                if time.monotonic() + wait > deadline:
                    raise CommandFailed(
                        f"the broker at {place} can't be reached: {str(error)[:200]} (see: invoices doctor)"
                    ) from error
                if wait == FIRST_WAIT_SECONDS:
                    self._notice(f"the broker at {place} is away, trying again for {self._patience_seconds:g} s")
                time.sleep(wait)
                wait = min(2 * wait, LONGEST_WAIT_SECONDS)
            else:
                return task_id

    def send_text(self, task: str, text: str) -> str:
        """Send a task whose keyword arguments are JSON text already; the text is sent unchanged."""
        return self.send(task, as_it_is(text))
