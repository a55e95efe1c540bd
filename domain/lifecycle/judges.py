"""Which function judges which evidence, and the one entry to all of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any

from domain.against import CONTRADICTION, against
from domain.decision import Decision, InvoiceView, Policy
from domain.evidence import (
    CalledBack,
    CancelRequested,
    ClockRanOut,
    Created,
    CredentialsRefused,
    Evidence,
    InDoubt,
    Marked,
    OrderRefused,
    ProviderRefused,
    RateLimited,
    RecheckRequested,
    RetryRequested,
    Seen,
    Unreachable,
    Unreadable,
)
from domain.lifecycle.callbacks import called_back
from domain.lifecycle.case import Case
from domain.lifecycle.clock import clock_ran_out
from domain.lifecycle.creates import account_refused, again_later, created, in_doubt, order_refused, retry_requested
from domain.lifecycle.look_ups import not_seen, seen
from domain.lifecycle.people import cancel_requested, marked, recheck_requested
from domain.sequence import next_sequence
from domain.status import SILENT, Status


def decide(
    invoice: InvoiceView, evidence: Evidence, policy: Policy, now: datetime, jitter: float = 0.0, epoch: int = 0
) -> Decision:
    """Judge one piece of evidence against the invoice as it is now. Pure; raises nothing for any evidence."""
    case = Case(invoice, Status(invoice.status), policy, now, jitter, epoch)
    decision = _JUDGES[type(evidence)](case, evidence)
    return decision if decision.verdict != "contradiction" else _contradicted(case, evidence, decision)


def _contradicted(case: Case, evidence: Evidence, decision: Decision) -> Decision:
    """A contradiction has an event of its own in the invoice's sequence, once for each kind. Nobody outside knows of
    an invoice that is still silent."""
    note = decision.note or f"{against(evidence)}, and it is {case.status}"
    told, kind = (case.invoice.contradicted or "").split(), note.partition(":")[0]
    if kind in told or case.status in SILENT:
        return replace(decision, note=note)
    sequence = next_sequence(case.invoice.sequence, case.epoch)
    changes = {**decision.changes, "sequence": sequence, "contradicted": " ".join([*told, kind])}
    return replace(decision, note=note, changes=changes, event=CONTRADICTION)


_JUDGES: dict[type[Evidence], Callable[[Case, Any], Decision]] = {
    Created: created,
    OrderRefused: order_refused,
    CredentialsRefused: account_refused,
    ProviderRefused: account_refused,
    Unreachable: again_later,
    RateLimited: again_later,
    InDoubt: in_doubt,
    Unreadable: not_seen,
    Seen: seen,
    CalledBack: called_back,
    ClockRanOut: clock_ran_out,
    CancelRequested: cancel_requested,
    RetryRequested: retry_requested,
    Marked: marked,
    RecheckRequested: recheck_requested,
}
