"""A doorbell that Celery can't take, as when its threads have ended, is no rejected message."""

from __future__ import annotations

import json

from kombu.message import Message

from workers.intake.message import RUN, Accepted
from workers.queue.consumer import GuardedConsumer


class Refusing(GuardedConsumer):
    """Nothing of Celery's: it takes no task."""

    def __init__(self):
        self._gathering = None
        self.kept = []

    def _hand_over(self, message):
        raise RuntimeError("cannot schedule new futures after shutdown")

    def _set_aside(self, parts, end):
        self.kept += [call for _, call in parts]


def test_a_doorbell_that_can_t_be_handed_over_is_set_aside_as_the_call_that_it_is():
    body = json.dumps([["create", "shop"], {}, {}]).encode()
    headers = {"task": RUN, "id": "ring-1"}
    consumer = Refusing()
    message = Message(body, "1", content_type="application/json", content_encoding="utf-8", headers=headers)
    consumer._take_in(message, deaths=0)
    assert consumer.kept == [Accepted(RUN, "ring-1", ["create", "shop"])]
