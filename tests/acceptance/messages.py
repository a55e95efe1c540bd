"""Messages for a system, published with bare kombu as a shop of any language would."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from typing import Any

import kombu

from tests.redis_brokers import Broker

INTAKE_QUEUE, WORK_QUEUE = "invoices.intake", "invoices.work"


class Messages:
    """What is put into the intake's queue."""

    broker: Broker
    broker_url: str

    def publish(self, task: str, kwargs: Mapping[str, Any] | str, **headers: str) -> None:
        """One message of Celery's protocol 2; ``kwargs`` may be JSON text, which goes out as it is."""
        self.publish_many(task, [kwargs], **headers)

    def publish_many(self, task: str, all_kwargs: list[Any], **headers: str) -> None:
        """Messages over one connection."""
        queue = kombu.Queue(
            INTAKE_QUEUE,
            kombu.Exchange(INTAKE_QUEUE, type="direct"),
            routing_key=INTAKE_QUEUE,
            queue_arguments=self.broker.queue_arguments,
        )
        options = self.broker.connection_options
        with kombu.Connection(self.broker_url, **options) as connection, connection.Producer() as producer:
            for kwargs in all_kwargs:
                body = kwargs if isinstance(kwargs, str) else json.dumps(kwargs)
                producer.publish(
                    f"[[], {body}, {{}}]",
                    exchange=queue.exchange,
                    routing_key=queue.routing_key,
                    declare=[queue],
                    content_type="application/json",
                    content_encoding="utf-8",
                    headers={"lang": "py", "task": task, "id": str(uuid.uuid4()), **headers},
                )

    def order(self, *orders: Mapping[str, Any] | str) -> None:
        """Publish `invoices.create` for each."""
        self.publish_many("invoices.create", list(orders))
