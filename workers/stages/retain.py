"""RETAIN: removes what is finished and old, in small batches."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import structlog

from domain.decision import Stage
from workers.engine import Batching, Slots, Work
from workers.store.agenda import RETAIN_LANE, Claim
from workers.store.store import Store

log = structlog.get_logger()

RETAIN_LEASE_SECONDS = 30.0
RETAIN_SECONDS = 600.0  #: between looks for what has become old
RETAIN_PAUSE_SECONDS = 0.5  #: between batches: other transactions come first


def retain(store: Store, days: int, *, archived: bool = False) -> list[Work[Claim, Claim]]:
    """The stage as a value, unless ``days`` is 0: then everything is kept. ``archived``: invoices and all that belongs
    to them are left to `invoices archive`."""
    slots = Slots(1)

    def remove(claims: Sequence[Claim]) -> None:
        for claim in claims:
            removed = store.remove_finished(timedelta(days=days), archived=archived)
            if removed:
                log.info("store.removed_old", rows=removed, older_than_days=days)
            leftovers = store.remove_leftovers()
            if leftovers:
                log.info("store.removed_leftovers", deliveries=leftovers)
            store.finish(claim, RETAIN_PAUSE_SECONDS if removed else RETAIN_SECONDS)

    work = Work(
        stage=Stage.RETAIN,
        lanes=lambda: [RETAIN_LANE],
        slots=lambda _: slots,
        claim=lambda lane, limit: store.claim(Stage.RETAIN, lane, limit, RETAIN_LEASE_SECONDS),
        claim_of=lambda claim: claim,
        commit=remove,
        batching=Batching(claim=1),
    )
    return [work] if days else []
