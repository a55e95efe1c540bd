"""Hands evidence to the store and says in the log what came of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import structlog

from workers.stages.deliver import DELIVER_LEASE_SECONDS
from workers.store.agenda import Room
from workers.store.judging import Judgement, Outcome
from workers.store.outbox import Parcel
from workers.store.store import Store

log = structlog.get_logger()


def judge(store: Store, judgements: Sequence[Judgement]) -> None:
    """Hand evidence to the store and say in the log what came of it."""
    _tell_all(store.judge(judgements))


def judge_and_take(
    store: Store, judgements: Sequence[Judgement], places: Mapping[str, int]
) -> Mapping[str, Sequence[Parcel]]:
    """The same. The webhooks it brings are leased as far as their endpoints have places: these, by endpoint."""
    outcomes, parcels = store.judge_and_take(judgements, Room(places, DELIVER_LEASE_SECONDS))
    _tell_all(outcomes)
    taken: dict[str, list[Parcel]] = defaultdict(list)
    for parcel in parcels:
        taken[parcel.claim.lane].append(parcel)
    return taken


def _tell_all(outcomes: Sequence[Outcome]) -> None:
    told = log.bind()
    for outcome in outcomes:
        _tell(told, outcome)


def _tell(log: Any, outcome: Outcome) -> None:
    fields = {"invoice_id": outcome.invoice_id, "order_id": outcome.order_id, "account": outcome.account}
    if outcome.event_type is not None:
        log.info(outcome.event_type, was=outcome.status_before, reason=outcome.reason, **fields)
    elif outcome.verdict == "applied":
        event = f"invoice.{outcome.status}"
        log.info(event, was=outcome.status_before, reason=outcome.reason, **fields)
    elif outcome.verdict == "contradiction":
        log.warning("invoice.contradicted", status=outcome.status, **fields)
