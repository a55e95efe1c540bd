"""Turns foreign messages away before Celery sees them, and hands over the others in our own words.

``GuardedConsumer`` stands in ``worker_consumer``. Each message is judged by ``workers.intake_message`` and rewritten in
place: a good one into a call without floats and foreign headers, a bad one into a call of ``invoices.reject``, a late
acknowledging task that waits for the database. So a refused message is acknowledged only when it is listed. The broker
keeps the original: a redelivered message is judged again.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import structlog
from celery.worker.consumer import Consumer
from kombu import compression

from workers.intake_message import REJECT, Accepted, TurnedAway, inspect, message_key, task_headers, turn_away

log = structlog.get_logger()

#: Where a worker's answer to `celery inspect` is sent; one that nobody waits for any more ends in the intake queue
#: (see `deadletter_queue` in config/celeryconfig.py) and is no order.
REPLY_EXCHANGE = "reply.celery.pidbox"


class GuardedConsumer(Consumer):
    """Celery's consumer with a judge in front."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        refuse_compression()

    def create_task_handler(self, *args: Any, **kwargs: Any) -> Callable[[Any], Any]:
        """Celery's handler behind the guard; called anew for each connection."""
        self._hand_over = super().create_task_handler(*args, **kwargs)
        return self._on_message

    def on_decode_error(self, message: Any, exc: Exception) -> Any:
        """A message that kombu could not even unpack: Celery would acknowledge and forget it."""
        key = message_key(message.headers, message.properties, message.body)
        refused = turn_away(message.body, f"body: {_why(exc)}", key)
        rewrite(message, refused)
        return self._hand_over(message)

    def _on_message(self, message: Any) -> Any:
        judged = inspect(
            message.headers,
            message.properties,
            message.body,
            message.content_type,
            message.content_encoding,
            now=datetime.now(UTC),
        )
        if _is_nobodys_reply(message, judged):
            return message.ack()
        rewrite(message, judged)
        return self._hand_over(message)


def _is_nobodys_reply(message: Any, judged: Accepted | TurnedAway) -> bool:
    """A message with a task is an order, whatever exchange its sender wrote into it."""
    to_inspect = message.delivery_info.get("exchange") == REPLY_EXCHANGE
    return to_inspect and isinstance(judged, TurnedAway) and judged.task is None


def rewrite(message: Any, judged: Accepted | TurnedAway) -> None:
    """Replace what is in a kombu message by a call of ours; its delivery tag stays, so it can be acknowledged."""
    if isinstance(judged, TurnedAway):
        task, task_id = REJECT, str(uuid.uuid4())
        log.debug("message.turned_away", task=judged.task, reason=judged.reason, message_key=judged.message_key)
    else:
        task, task_id = judged.task, judged.id
    message.headers = task_headers(task, task_id)
    message.body = json.dumps([judged.arguments, {}, {}]).encode()
    message.content_type = "application/json"
    message.content_encoding = "utf-8"
    message.properties = {
        "delivery_tag": message.delivery_tag,
        "correlation_id": task_id,
        "delivery_info": message.delivery_info,
    }
    message._decoded_cache = None
    message.errors = []


def refuse_compression() -> None:
    """Make kombu fail on compressed bodies: it unpacks them without any bound before a consumer sees the message."""
    for kind in compression.encoders():
        compression.register(compression.get_encoder(kind)[0], _refuse, kind)


def _refuse(body: Any) -> bytes:
    raise ValueError("compressed bodies are not taken")


def _why(error: Exception) -> str:
    """A reason for the list; our own errors say it in our words, others by what kind they are."""
    text = str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"
    return " ".join(text.split())[:200]
