"""CLOCK: what is due by time alone. No I/O: claim, decide, write."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from domain.decision import Stage
from domain.evidence import ClockRanOut
from workers.engine import Batching, Feeding, Keeping, Observer, Pace, Slots, Work
from workers.stages.judging import Leased, judge, judge_and_take
from workers.store.agenda import CLOCK_LANE, Claim
from workers.store.judging import Judgement
from workers.store.store import Store

CLOCK_BATCH = 1000  #: a transaction takes as many round trips for few rows as for many
CLOCK_BATCHES = 2  #: under way at a time: while the database writes one, the next is prepared
CLOCK_LEASE_SECONDS = 10.0
#: After a claim, what falls due is gathered for this long. Otherwise, at forty a second, each row would cost a commit
#: and a claim by every process. The first row after a pause is still claimed at its very moment.
CLOCK_REST_SECONDS = 0.1
RAN_OUT = ClockRanOut()


def clock(store: Store, observer: Observer | None = None) -> Work[Claim, Claim]:
    """The stage as a value."""
    slots, told = Slots(CLOCK_BATCHES), observer or Observer()

    def judge_and_lease(claims: Sequence[Claim], reserved: Mapping[str, int]) -> tuple[Leased, list[Claim]]:
        leased, left = judge_and_take(store, _judgements(claims), reserved, told)
        return leased, _claims(left)

    return Work(
        stage=Stage.CLOCK,
        lanes=lambda: [CLOCK_LANE],
        slots=lambda _: slots,
        claim=lambda lane, limit: store.claim(Stage.CLOCK, lane, limit, CLOCK_LEASE_SECONDS),
        claim_of=lambda claim: claim,
        commit=lambda claims: _claims(judge(store, _judgements(claims), told)),
        name_of=lambda claim: {"invoice_id": claim.subject},
        batching=Batching(claim=CLOCK_BATCH, group=CLOCK_BATCH),
        pace=Pace(timed=True, rest_seconds=CLOCK_REST_SECONDS),
        keeping=Keeping(store.renew),
        feeding=Feeding(Stage.DELIVER, judge_and_lease),
    )


def _judgements(claims: Sequence[Claim]) -> list[Judgement]:
    return [Judgement(claim.subject, RAN_OUT, claim) for claim in claims]


def _claims(judgements: Sequence[Judgement]) -> list[Claim]:
    return [judgement.claim for judgement in judgements if judgement.claim is not None]
