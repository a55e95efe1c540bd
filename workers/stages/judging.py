"""Hands evidence to the store and says in the log what came of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import structlog

from workers.store.judging import Judgement, Outcome
from workers.store.store import Store

log = structlog.get_logger()


def judge(store: Store, judgements: Sequence[Judgement]) -> None:
    """Hand evidence to the store and say in the log what came of it."""
    outcomes, told = store.judge(judgements), log.bind()
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
