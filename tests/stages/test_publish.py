"""PUBLISH as the pump runs it: one holder tells what there is, and what comes while it gathers."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any, cast

from domain.decision import Stage
from workers.stages import publish
from workers.store.agenda import PUBLISH_LANE, Claim
from workers.store.outbox import Unpublished

CLAIM = Claim(Stage.PUBLISH, PUBLISH_LANE, PUBLISH_LANE, "t", False, datetime.now(UTC))


class Outbox:
    """Events that come in one after the other: each look finds the next."""

    def __init__(self, *looks):
        self.looks, self.marked, self.told, self.placed = list(looks), [], [], 0
        self.publishing = self

    def place_events(self, claim, limit, without=(), *, mark=False):
        self.placed += len(self.looks[0]) if self.looks else 0
        return self.looks[0] if self.looks else []

    def unpublished(self, limit, without=()):
        found = self.looks.pop(0) if self.looks else []
        return [
            Unpublished(number, f"evt_{number}", b"{}", number if number <= self.placed else None) for number in found
        ]

    def mark_told(self):
        assert self.told == self.marked

    def mark_published(self, numbers):
        assert set(numbers) <= set(self.told)
        self.marked += numbers

    async def append(self, events, fence):
        self.told += [int(event_id.removeprefix("evt_")) for event_id, _ in events]


def test_what_comes_while_the_holder_gathers_is_told_under_the_same_claim():
    outbox = cast("Any", Outbox([1, 2], [3], []))
    work = publish(outbox, outbox)
    assert work.perform is not None

    results = asyncio.run(cast("Any", work.perform(PUBLISH_LANE, [CLAIM])))

    assert (outbox.told, outbox.marked, outbox.looks) == ([1, 2, 3], [1, 2, 3], [])
    assert results == [(CLAIM, 0.0)]
