"""What operators do by hand with one invoice. Judged like any other evidence, and kept with who and why."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from domain.evidence import Marked, RecheckRequested
from domain.status import Status
from workers.store.judging import Judgement, Outcome
from workers.store.store import Store


@dataclass(frozen=True, slots=True)
class Act:
    """What came of it. ``why``: why nothing was done, where nothing was."""

    invoice_id: str
    done: bool
    status_before: str
    status: str
    why: str | None = None


def mark(
    store: Store, invoice_id: str, status: Status, *, reason: str, by: str, amount: Decimal | None = None
) -> Act | None:
    """Mark an invoice as paid, failed, refunded or cancelled; None: there is no such invoice."""
    evidence = Marked(status=status, reason=reason, by=by, paid_amount=amount)
    (outcome,) = store.judge([Judgement(invoice_id, evidence)])
    return _act(outcome, outcome.verdict == "applied", f"it is {outcome.status}")


def recheck(store: Store, invoice_id: str, *, reason: str, by: str) -> Act | None:
    """Have the provider asked about an invoice now; None: there is no such invoice."""
    (outcome,) = store.judge([Judgement(invoice_id, RecheckRequested(reason=reason, by=by))])
    return _act(outcome, outcome.verdict == "noted", outcome.note)


def _act(outcome: Outcome, done: bool, why: str | None) -> Act | None:
    if outcome.status_before is None or outcome.status is None:
        return None
    return Act(outcome.invoice_id, done, outcome.status_before, outcome.status, None if done else why)
