"""Queues of our own beside the intake's, kept as safely as the intake's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kombu import Queue

if TYPE_CHECKING:
    from celery import Celery


@dataclass(frozen=True, slots=True)
class SideQueue:
    """One of them. ``retry``: kombu's retry policy for a publish that finds its connection closed."""

    app: Celery
    name: str
    retry: Mapping[str, object]

    def put(self, fields: Mapping[str, object]) -> None:
        """Send a message; the broker has it once this returns. Raises the broker's errors."""
        with self.app.producer_or_acquire() as producer:
            producer.publish(
                fields,
                serializer="json",
                exchange="",
                routing_key=self.name,
                declare=[self.declared()],
                delivery_mode=2,
                mandatory=True,
                retry=True,
                retry_policy=self.retry,
            )

    def declared(self) -> Queue:
        """The queue, declared with the same arguments as the intake's."""
        intake = self.app.amqp.queues[self.app.conf.task_default_queue]
        return Queue(self.name, routing_key=self.name, queue_arguments=intake.queue_arguments)
