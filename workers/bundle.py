"""Messages that came in together, as one message of Celery's: one task handles them, side by side."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from kombu.message import Message

from workers.intake_message import Accepted, task_headers


class Bundle(Message):
    """Acknowledged, or given back, as a whole. Its task takes a list of ``[*arguments, id]`` for each kind of call."""

    def __init__(self, parts: Sequence[tuple[Any, Accepted]]) -> None:
        """``parts``: kombu's messages, from one channel, with what they ask for.

        The task is the first one's; what asks for another comes in lists of their own after its own list.
        """
        first, judged = parts[0]
        lists: dict[str, list[list[Any]]] = {}
        for _, accepted in parts:
            lists.setdefault(accepted.task, []).append([*accepted.arguments, accepted.id])
        call = [list(lists.values()), {}, {}]
        super().__init__(
            body=json.dumps(call).encode(),
            delivery_tag=first.delivery_tag,
            content_type="application/json",
            content_encoding="utf-8",
            delivery_info=first.delivery_info,
            headers=task_headers(judged.task, judged.id),
            properties={"correlation_id": judged.id},
            channel=first.channel,
        )
        self._decoded_cache = call
        self._messages = [message for message, _ in parts]

    def ack(self, multiple: bool = False) -> None:
        """Acknowledge all; in one step where the channel knows how (``workers.transport``)."""
        in_one_step = getattr(self.channel, "acknowledge", None)
        if in_one_step is not None:
            in_one_step([message.delivery_tag for message in self._messages])
        else:
            for message in self._messages:
                message.ack()

    def reject(self, requeue: bool = False) -> None:
        """Give all back, or drop them."""
        for message in self._messages:
            message.reject(requeue=requeue)
