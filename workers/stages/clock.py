"""CLOCK asks nobody and waits for nobody: claim, decide, write."""

from __future__ import annotations

from domain.decision import Stage
from domain.evidence import ClockRanOut
from workers.pump import Slots, Work
from workers.stages.judging import judge
from workers.store.agenda import CLOCK_LANE
from workers.store.judging import Judgement
from workers.store.store import Store

CLOCK_BATCH = 500
CLOCK_SIDE_BY_SIDE = 2  #: batches under way at a time: while the database writes one, the next is judged
CLOCK_LEASE_SECONDS = 10.0
RAN_OUT = ClockRanOut()


def clock(store: Store) -> Work:
    """The stage as a value."""
    slots = Slots(CLOCK_SIDE_BY_SIDE)
    return Work(
        stage=Stage.CLOCK,
        lanes=lambda: [CLOCK_LANE],
        slots=lambda _: slots,
        claim=lambda lane, limit: store.claim(Stage.CLOCK, lane, limit, CLOCK_LEASE_SECONDS),
        claim_of=lambda claim: claim,
        commit=lambda claims: judge(store, [Judgement(claim.subject, RAN_OUT, claim) for claim in claims]),
        batch=CLOCK_BATCH,
        group=CLOCK_BATCH,
        timed=True,
    )
