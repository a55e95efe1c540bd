"""The engine's steps as spans: each claim, group and transaction, with links to the traces of its orders; and what
became of evidence, in the order's own trace."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from opentelemetry.context import Context
from opentelemetry.trace import Link, get_current_span
from opentelemetry.trace import Tracer as OtelTracer

from domain.decision import Stage
from domain.trace import trace_of_event
from domain.tracing import Tracer
from workers.engine import Observer, Step
from workers.store.deliveries import DeliveryAttempt
from workers.store.judging import Judgement, Outcome
from workers.store.outbox import ClaimedDelivery
from workers.telemetry.sampling import CHOSEN, Share

MAX_LINKS = 128


def trace_of(row: object) -> str | None:
    """The trace that a stage's row belongs to, if the row has it."""
    match row:
        case ClaimedDelivery():
            return trace_of_event(row.body)
        case DeliveryAttempt():
            return trace_of_event(row.delivery.body)
        case Judgement():
            return row.trace
        case tuple() if len(row) > 1:  # a claim and its invoice
            trace = getattr(row[1], "trace", None)
            return trace if isinstance(trace, str) else None
    return None


class BatchSpans(Observer):
    """A span for each batch. One without orders that have traces is sampled by itself."""

    def __init__(
        self, tracer: OtelTracer, context_of: Callable[[str | None], Context], share: Share, steps: Tracer
    ) -> None:
        """``steps``: records the steps of orders."""
        self._tracer = tracer
        self._share = share
        self._steps = steps
        self._context_of = context_of

    def judged(self, outcomes: Sequence[Outcome]) -> None:
        """Evidence that changed something is a step of its order; a look-up that brought nothing new is not."""
        for outcome in outcomes:
            if outcome.trace is not None and (outcome.event_type is not None or outcome.verdict == "applied"):
                about = {"invoice_id": outcome.invoice_id, "account": outcome.account, "event": outcome.event_type}
                span = self._steps.begin("invoice.judge", outcome.trace, about)
                span.end({"verdict": outcome.verdict, "status": outcome.status})

    def handled(self, step: Step, stage: Stage, lane: str | None, rows: Sequence[object], seconds: float) -> None:
        """A group of one is skipped: its order's step has a span already."""
        if step is Step.PERFORM and len(rows) <= 1:
            return
        traces = {trace for row in rows if (trace := trace_of(row)) is not None}
        if not traces and not self._share.takes():
            return
        ended = time.time_ns()
        links = [Link(get_current_span(self._context_of(trace)).get_span_context()) for trace in sorted(traces)]
        told: dict[str, str | int] = {"invoices.stage": stage.value, "invoices.rows": len(rows)}
        if lane is not None:
            told["invoices.lane"] = lane
        started = ended - int(seconds * 1e9)
        span = self._tracer.start_span(
            f"{stage.value}.{step.value}",
            self._context_of(None) if traces else CHOSEN,
            attributes=told,
            links=links[:MAX_LINKS],
            start_time=started,
        )
        span.end(ended)
