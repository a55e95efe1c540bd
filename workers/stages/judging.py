"""Applies evidence in the store and logs what came of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

import structlog
from structlog.typing import FilteringBoundLogger

from domain.status import Status
from workers.engine import Observer
from workers.stages.deliver import DELIVER_LEASE_SECONDS
from workers.store.agenda import Room
from workers.store.judging import Judgement, Outcome
from workers.store.outbox import ClaimedDelivery
from workers.store.store import Store

log = structlog.get_logger()

#: The webhooks that a commit leased, by endpoint.
Leased = Mapping[str, Sequence[ClaimedDelivery]]


def judge(store: Store, judgements: Sequence[Judgement], observer: Observer) -> Sequence[Judgement]:
    """Apply evidence and log what came of it. Returns what was left because somebody else has it locked."""
    outcomes, _, left = store.judge_and_take(judgements, None)
    tell_all(outcomes, observer)
    return left


def judge_and_take(
    store: Store, judgements: Sequence[Judgement], reserved: Mapping[str, int], observer: Observer
) -> tuple[Leased, Sequence[Judgement]]:
    """The same, and lease the webhooks it brings as far as their endpoints have reserved slots."""
    outcomes, deliveries, left = store.judge_and_take(judgements, Room(reserved, DELIVER_LEASE_SECONDS))
    tell_all(outcomes, observer)
    leased: dict[str, list[ClaimedDelivery]] = defaultdict(list)
    for delivery in deliveries:
        leased[delivery.claim.lane].append(delivery)
    return leased, left


def tell_all(outcomes: Sequence[Outcome], observer: Observer) -> None:
    """Log what came of evidence, and tell the observer."""
    observer.judged(outcomes)
    told = log.bind()
    for outcome in outcomes:
        _tell(told, outcome)


def _tell(log: FilteringBoundLogger, outcome: Outcome) -> None:
    fields = {"invoice_id": outcome.invoice_id, "order_id": outcome.order_id, "account": outcome.account}
    if outcome.verdict == "contradiction":
        log.warning("invoice.contradicted", status=outcome.status, what=outcome.note, **fields)
    elif outcome.event_type is not None:
        log.info(outcome.event_type, was=outcome.status_before, reason=outcome.reason, **fields)
    elif outcome.verdict == "applied" and outcome.status == Status.QUEUED:
        log.warning("order.next_account", reason=outcome.reason, note=outcome.note, **fields)
    elif outcome.verdict == "applied":
        event = f"invoice.{outcome.status}"
        log.info(event, was=outcome.status_before, reason=outcome.reason, **fields)
