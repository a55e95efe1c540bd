"""PUBLISH: one holder at a time tells the stream, in the order of the events' numbers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any

import structlog
from redis.exceptions import RedisError

from domain.decision import Stage
from workers.outbound.stream import EventStream, StaleFence
from workers.pump import Slots, Work, first_line
from workers.store.agenda import PUBLISH_LANE, Claim
from workers.store.database import UNAVAILABLE
from workers.store.store import Store

log = structlog.get_logger()

PUBLISH_BATCH = 500
PUBLISH_LEASE_SECONDS = 10.0  #: short, because a holder that dies holds up the stream; the fence guards the rest


def publish(store: Store, stream: EventStream) -> Work:
    """The stage as a value."""
    slots = Slots(1)

    async def tell(lane: str, claims: Sequence[Claim]) -> Sequence[Any]:
        claim = claims[0]
        wait_seconds = 0.0
        try:
            await _publish_all(store, stream, claim)
        except StaleFence as stale:
            log.warning("stream.lease_lost", error=str(stale))
        except (RedisError, OSError, *UNAVAILABLE) as error:
            log.warning("stream.unavailable", error=first_line(error))
            wait_seconds = 1.0
        return [(claim, wait_seconds)]

    def finish(results: Sequence[tuple[Claim, float]]) -> None:
        for claim, wait_seconds in results:
            store.finish(claim, wait_seconds)

    return Work(
        stage=Stage.PUBLISH,
        lanes=lambda: [PUBLISH_LANE],
        slots=lambda _: slots,
        claim=lambda _, limit: store.claim_publisher(limit, PUBLISH_LEASE_SECONDS),
        claim_of=lambda claim: claim,
        perform=tell,
        commit=finish,
        batch=1,
        hold_slot=True,  # a bell that rings before the row is free again must find it free
    )


async def _publish_all(store: Store, stream: EventStream, claim: Claim) -> None:
    """Until nothing is left or a third of the lease is over: the next claim, by whomever, goes on."""
    fence = int(claim.claimed_at.timestamp() * 1_000_000)
    until = time.monotonic() + PUBLISH_LEASE_SECONDS / 3
    while time.monotonic() < until:
        events = await asyncio.to_thread(store.unpublished, PUBLISH_BATCH)
        if not events:
            return
        await stream.append([(event.id, event.body) for event in events], fence)
        await asyncio.to_thread(store.mark_published, [event.number for event in events])
