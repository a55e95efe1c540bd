"""Counts what the engine and its stages tell."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from domain.decision import Stage
from domain.status import Status
from workers.engine import Attempted, Failure, Observer, ProviderCall, Trouble
from workers.store.judging import Outcome, Times
from workers.telemetry.metrics import Children, Metrics

#: The statuses in which an order can be paid, or has been.
PAYABLE = frozenset({Status.PENDING, Status.PARTIALLY_PAID, Status.CONFIRMING, Status.PAID})
NOT_YET = frozenset({Status.QUEUED, Status.IN_DOUBT})
UNKNOWN = "unknown"  #: where an outcome names no account


class MetricsListener(Observer):
    """Counts for one process. A row costs a dictionary look-up and the count."""

    def __init__(self, metrics: Metrics) -> None:
        commits, work = metrics.histogram("invoices_commit_seconds"), metrics.histogram("invoices_work_seconds")
        results = metrics.counter("invoices_committed_results_total")
        troubles = metrics.counter("invoices_troubles_total")
        self._commits = {stage: commits.labels(stage.value) for stage in Stage}
        self._work = {stage: work.labels(stage.value) for stage in Stage}
        self._results = {stage: results.labels(stage.value) for stage in Stage}
        self._troubles = {trouble: troubles.labels(trouble.value) for trouble in Trouble}
        self._calls = Children(metrics.counter("invoices_provider_calls_total"))
        self._call_seconds = Children(metrics.histogram("invoices_provider_call_seconds"))
        self._attempts = Children(metrics.counter("invoices_delivery_attempts_total"))
        self._first_try = metrics.histogram("invoices_event_first_try_seconds")
        self._delivered = metrics.histogram("invoices_event_delivered_seconds")
        self._changes = Children(metrics.counter("invoices_changes_total"))
        self._payable = Children(metrics.histogram("invoices_payable_seconds"))
        self._callback = Children(metrics.histogram("invoices_callback_seconds"))
        self._lateness = metrics.histogram("invoices_expiry_lateness_seconds")

    def performed(self, stage: Stage, lane: str, rows: int, seconds: float) -> None:
        """How long the I/O of a group took."""
        self._work[stage].observe(seconds)

    def committed(self, stage: Stage, results: int, left: int, seconds: float) -> None:
        """How long the transaction took, and what it wrote."""
        self._commits[stage].observe(seconds)
        self._results[stage].inc(results)

    def failed(self, failure: Failure) -> None:
        """By its name in the log."""
        self._troubles[failure.trouble].inc()

    def called(self, call: ProviderCall) -> None:
        """A look-up may have taken several requests."""
        self._calls[call.account, call.call, call.outcome].inc(call.calls)
        self._call_seconds[call.account, call.call].observe(call.seconds)

    def attempted(self, attempt: Attempted) -> None:
        """Counted by outcome; how long after the change, where that is our doing."""
        self._attempts[attempt.endpoint, attempt.outcome].inc()
        if attempt.first_try_seconds is not None:
            self._first_try.observe(attempt.first_try_seconds)
        if attempt.delivered_seconds is not None:
            self._delivered.observe(attempt.delivered_seconds)

    def judged(self, outcomes: Sequence[Outcome]) -> None:
        """Only changes count."""
        for outcome in outcomes:
            if outcome.times is not None and outcome.status is not None and outcome.status != outcome.status_before:
                self._changed(outcome, outcome.status, outcome.times)

    def _changed(self, outcome: Outcome, status: str, times: Times) -> None:
        account = outcome.account or UNKNOWN
        self._changes[account, status].inc()
        if outcome.status_before in NOT_YET and status in PAYABLE:
            self._payable[account,].observe(max(0.0, (times.at - times.ordered_at).total_seconds()))
        if times.called_at is not None:
            self._callback[account,].observe(max(0.0, (times.at - times.called_at).total_seconds()))
        if status == Status.EXPIRED and times.expires_at is not None and times.at >= times.expires_at:
            self._lateness.observe((times.at - times.expires_at).total_seconds())


def show_slots(metrics: Metrics, used: Callable[[Stage], int]) -> None:
    """How many slots are used is asked when the metric is read."""
    gauge = metrics.gauge("invoices_slots_used")
    for stage in Stage:
        gauge.labels(stage.value).set_function(_asking(used, stage))


def _asking(used: Callable[[Stage], int], stage: Stage) -> Callable[[], float]:
    return lambda: float(used(stage))
