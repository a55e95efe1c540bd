"""What the tests of positions in the log share."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta

from tests.contracts.store_cases import (
    change,
    now,
    rows,
)
from workers.stages import publish
from workers.store.reads.log import Bounds, read_bounds, read_page
from workers.store.tables import AGENDA, EVENT

LEASE = 60.0


def claim(store):
    """The publisher's row, taken over from whoever has it."""
    store.add_standing()
    change(store.database, AGENDA, AGENDA.c.stage == "publish", due_at=now(store.database))
    (held,) = store.publishing.claim_publisher(1, LEASE)
    return held


def place(store, limit=10_000):
    """How many."""
    return len(store.publishing.place_events(claim(store), limit))


def read(database, after=0, limit=10_000, accounts=None):
    """The log as (position, subject, sequence)."""
    page = database.read(read_page, after, limit, accounts)
    bodies = [(entry.position, json.loads(entry.body)) for entry in page.entries]
    return [(position, body["subject"], int(body["sequence"])) for position, body in bodies]


def assert_whole(database):
    """Every event has its place, there is no gap, and an invoice's events are in their order."""
    log = read(database)
    assert [position for position, _, _ in log] == list(range(1, len(rows(database, EVENT)) + 1))
    of: dict[str, list[int]] = {}
    for _, subject, sequence in log:
        of.setdefault(subject, []).append(sequence)
    assert all(found == list(range(1, len(found) + 1)) for found in of.values())
    assert database.read(read_bounds) == Bounds(0, len(log))


class Stream:
    """What the stage tells of events; ``fail`` is done first."""

    def __init__(self, fail=None):
        self.told, self.fail = [], fail

    async def append(self, events, fence):
        if self.fail is not None:
            await self.fail()
        self.told += [event_id for event_id, _ in events]


async def run_publisher(store, stream, held=None):
    work = publish(store, stream)
    assert work.perform is not None
    results = await work.perform("stream", [held or claim(store)])
    await asyncio.to_thread(work.commit, results)


def make_old(database, *conditions):
    change(database, EVENT, *conditions, created_at=now(database) - timedelta(days=91))
