"""Tasks sent by kombu alone, as messages of Celery's protocol 2: numbers keep their digits."""

from __future__ import annotations

import uuid

from kombu import Connection, Producer, Queue

from domain.exact_json import raw, write_json

_EMBED = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}


def new_task_id() -> str:
    """A message's id."""
    return str(uuid.uuid4())


def publish(connection: Connection, queue: Queue, task: str, task_id: str, fields: object) -> None:
    """Send a task with these keyword arguments, once. Raises the connection's errors."""
    with Producer(connection.default_channel) as producer:
        producer.publish(
            write_json([[], fields, _EMBED]),
            exchange=queue.exchange,
            routing_key=queue.routing_key,
            declare=[queue],
            content_type="application/json",
            content_encoding="utf-8",
            correlation_id=task_id,
            headers={"lang": "py", "task": task, "id": task_id, "root_id": task_id, "parent_id": None, "group": None},
            retry=False,
        )


def as_it_is(text: str) -> object:
    """Keyword arguments that are JSON text already: it goes out as it is."""
    return raw(text)
