"""PUBLISH: one holder at a time gives events their positions and tells the stream, in the order of their numbers."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import Sequence

import structlog
from redis.exceptions import RedisError

from domain.decision import Stage
from workers.delivery.stream import EventStream, StaleFence
from workers.engine import Batching, Pace, Slots, SlotUse, Work
from workers.store.agenda import PUBLISH_LANE, Claim
from workers.store.database import UNAVAILABLE, first_line
from workers.store.outbox import Unpublished
from workers.store.positions import LeaseLost
from workers.store.store import Store

log = structlog.get_logger()

#: So many events share the cost of a round trip. Twice as many are in memory, and may be told again after a crash.
PUBLISH_BATCH = 2000
#: The holder gathers events for this long between two batches that aren't full; others look no sooner.
GATHER_SECONDS = 0.1
PUBLISH_LEASE_SECONDS = 10.0  #: short, because a holder that dies holds up the stream; the fence guards the rest
#: A stream that takes longer than this may be away: events then get their positions without it.
PATIENCE_SECONDS = 0.5
#: After a claim that told the stream nothing: what is still to be done is locked by somebody, or can't be done.
REST_SECONDS = 0.25
LIFTS = 3  #: of the fence in a row; another writer that keeps raising it is not ours to fight


def publish(store: Store, stream: EventStream) -> Work[Claim, tuple[Claim, float]]:
    """The stage as a value."""
    slots = Slots(1)

    async def tell(lane: str, claims: Sequence[Claim]) -> Sequence[tuple[Claim, float]]:
        claim = claims[0]
        wait_seconds = 0.0
        try:
            if not await _publish_all(store, stream, claim):
                wait_seconds = REST_SECONDS
        except* (StaleFence, LeaseLost) as stale:
            log.warning("stream.lease_lost", error=str(stale.exceptions[0]))
        except* (RedisError, OSError, *UNAVAILABLE) as failed:
            log.warning("stream.unavailable", error=first_line(failed.exceptions[0]))
            wait_seconds = 1.0
            await _place_rest(store, claim)
        return [(claim, wait_seconds)]

    return Work(
        stage=Stage.PUBLISH,
        lanes=lambda: [PUBLISH_LANE],
        slots=lambda _: slots,
        claim=lambda _, limit: store.publishing.claim_publisher(limit, PUBLISH_LEASE_SECONDS),
        claim_of=lambda claim: claim,
        perform=tell,
        commit=lambda results: _finish(store, results),
        batching=Batching(claim=1),
        pace=Pace(rest_seconds=GATHER_SECONDS),
        slot_use=SlotUse(until_committed=True),  # a doorbell that rings before the row is free again must find it free
    )


def _finish(store: Store, results: Sequence[tuple[Claim, float]]) -> None:
    for claim, wait_seconds in results:
        store.finish(claim, wait_seconds)


class _Publisher:
    """The stream under one claim of its row."""

    def __init__(self, store: Store, stream: EventStream, claim: Claim) -> None:
        self._store = store
        self._stream = stream
        self.claim = claim
        self._fence = claim.fence or int(claim.claimed_at.timestamp() * 1_000_000)

    async def append(self, events: Sequence[tuple[str, bytes]]) -> None:
        """Tell the stream. Raises StaleFence where the row was taken over."""
        for _ in range(LIFTS):
            try:
                await self._stream.append(events, self._fence)
            except StaleFence as stale:
                events = events[stale.added :]
                await self._lift(stale)
            else:
                return
        await self._stream.append(events, self._fence)

    async def _lift(self, stale: StaleFence) -> None:
        """Whoever holds the row in the database is right, and the stream's fence is wrong: left over, or ahead."""
        in_force = stale.in_force or 0
        fence = await asyncio.to_thread(self._store.publishing.lift_fence, self.claim, in_force)
        if fence is None:
            raise stale
        log.warning("stream.fence_ahead", found=stale.kept.decode(errors="replace"), fence=fence)
        self._fence = fence
        if fence <= in_force or stale.in_force is None:
            await self._stream.replace_fence(stale.kept, fence)


async def _publish_all(store: Store, stream: EventStream, claim: Claim) -> bool:
    """Returns whether the stream was told of anything. Ends when nothing more comes, or after a third of the lease: the
    next claim, anybody's, goes on."""
    publisher = _Publisher(store, stream, claim)
    until = time.monotonic() + PUBLISH_LEASE_SECONDS / 3
    told_any = False
    while await _publish_backlog(store, publisher, until):
        told_any = True
        if time.monotonic() > until:
            break
        await asyncio.sleep(GATHER_SECONDS)
    return told_any


async def _publish_backlog(store: Store, publisher: _Publisher, until: float) -> bool:
    """Returns whether there was any.

    While the stream is told of one batch, the batch before is marked, and then the next is placed and read, without the
    one that is on its way. No event is marked before the stream has it, or told before an earlier one; each has its
    position in the log before it is told.
    """
    told: list[int] = []
    events = await asyncio.to_thread(_place_and_read, store, publisher.claim, PUBLISH_BATCH)
    while events:
        telling = [event.number for event in events]
        ahead = PUBLISH_BATCH if len(events) == PUBLISH_BATCH and time.monotonic() < until else 0
        async with asyncio.TaskGroup() as group:
            append = group.create_task(publisher.append([(event.id, event.body) for event in events]))
            group.create_task(_place_while(store, publisher.claim, telling, append))
            turn = group.create_task(asyncio.to_thread(_mark_and_read, store, publisher.claim, told, telling, ahead))
        told, events = telling, turn.result()
    if told:
        await asyncio.to_thread(store.publishing.mark_published, told)
    else:
        await asyncio.to_thread(store.publishing.mark_told)
    return bool(told)


def _mark_and_read(
    store: Store, claim: Claim, told: Sequence[int], telling: Sequence[int], limit: int
) -> list[Unpublished]:
    """One after the other: in parallel, while the stream is told, all three would take longer."""
    if told:
        store.publishing.mark_published(told)
    return _place_and_read(store, claim, limit, telling) if limit else []


def _place_and_read(store: Store, claim: Claim, limit: int, telling: Sequence[int] = ()) -> list[Unpublished]:
    """The next events, up to one that was committed between the two steps: those after it may be later ones of the same
    invoice. Empty if nothing waits, or if the oldest can't be placed, which is logged."""
    is_unmarked = False
    while True:
        given = store.publishing.place_events(claim, limit, telling)
        found = store.publishing.unpublished(limit, telling)
        if others := set(given).difference(event.number for event in found):
            store.publishing.mark_placed(sorted(others))
        placed = list(itertools.takewhile(lambda event: event.position is not None, found))
        if placed or not found:
            return placed
        if not given and is_unmarked:
            log.error("stream.unplaced", id=found[0].id, number=found[0].number)
            return []
        if not given:
            store.publishing.unmark([event.number for event in found if event.position is None])
            is_unmarked = True


async def _place_while(store: Store, claim: Claim, telling: Sequence[int], append: asyncio.Task[None]) -> None:
    """While the stream keeps us waiting, go on placing: readers of the log don't wait for it."""
    while True:
        await asyncio.wait([append], timeout=PATIENCE_SECONDS)
        if append.done():
            return
        await asyncio.to_thread(store.publishing.place_events, claim, PUBLISH_BATCH, telling, mark=True)


async def _place_rest(store: Store, claim: Claim) -> None:
    """The stream is away: place what is left, for readers of the log."""
    until = time.monotonic() + PUBLISH_LEASE_SECONDS / 3
    with contextlib.suppress(LeaseLost, *UNAVAILABLE):  # whoever claims the row next goes on
        placed = PUBLISH_BATCH
        while placed == PUBLISH_BATCH and time.monotonic() <= until:
            placed = len(await asyncio.to_thread(store.publishing.place_events, claim, PUBLISH_BATCH, mark=True))
