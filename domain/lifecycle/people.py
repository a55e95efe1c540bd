"""Judges what the shop and the operators say."""

from __future__ import annotations

from dataclasses import replace

from domain.asking import waits_for_callback
from domain.contradicted import Contradicted
from domain.decision import Agenda, Changes, Decision, Stage, Verdict
from domain.evidence import CancelRequested, Marked, RecheckRequested
from domain.lifecycle.case import Case, anomaly_of, is_askable, is_claimed, may_be_anothers
from domain.lifecycle.moves import NOT_CALLED, close, contradict, give_back
from domain.marks import CONFIRMED, is_contradiction, may_mark
from domain.money import format_amount
from domain.status import OPEN, Anomaly, Status


def cancel_requested(case: Case, evidence: CancelRequested) -> Decision:
    if case.status in OPEN:
        return close(case, Status.CANCELLED, evidence.reason)
    return contradict(case, agrees=case.status is Status.CANCELLED)


def marked(case: Case, evidence: Marked) -> Decision:
    target = evidence.status
    if target is case.status:
        return _marked_again(case, evidence)
    if not may_mark(case.status, target):
        verdict: Verdict = "contradiction" if is_contradiction(case.status, target) else "noted"
        return Decision(verdict, note=f"mark: marked as {target} by {evidence.by}, and it is {case.status}")
    changes: Changes = {}
    if target is Status.PAID:
        told = anomaly_of(evidence.paid_amount, case.invoice.pay_amount)
        changes["anomaly"] = told if case.invoice.first_open else Anomaly.LATE
        if evidence.paid_amount is not None:
            changes["paid_amount"] = evidence.paid_amount
    return close(case, target, f"marked by {evidence.by}: {evidence.reason}", changes)


def _marked_again(case: Case, evidence: Marked) -> Decision:
    """The mark says what the invoice is already. No mark changes an amount: another amount is a contradiction."""
    told, known = evidence.paid_amount, case.invoice.paid_amount
    if told is None or (case.status is Status.PAID and told == known):
        note = f"{CONFIRMED}: it is {case.status}, says {evidence.by}"
        return _stays_expired(case, note) if case.status is Status.EXPIRED else Decision("noted", note=note)
    note = f"mark: marked as {case.status} with {format_amount(told)} by {evidence.by}, and it is {case.status}"
    if case.status is Status.PAID and known is not None:
        return Decision("contradiction", note=f"{note} with {format_amount(known)}")
    return Decision("noted", note=note)


def _stays_expired(case: Case, note: str) -> Decision:
    """All that was said against it is settled, a callback that no look-up has confirmed too: look once more, in case it
    came only now. The watch goes on: a payment that is seen after this counts, or is told anew."""
    changes: Changes = {"contradicted": Contradicted.read(case.invoice.contradicted).settling().text}
    if case.invoice.called_status is None:
        return Decision("noted", changes, note=note)
    agenda: Agenda = {Stage.CHECK: case.now} if is_askable(case) and is_claimed(case) else {}
    if is_claimed(case) and may_be_anothers(case):
        given = give_back(agenda)
        return replace(given, changes={**given.changes, **changes}, note=note)
    return Decision("noted", {**changes, **NOT_CALLED}, agenda=agenda, note=note)


def recheck_requested(case: Case, evidence: RecheckRequested) -> Decision:
    """Look the invoice up at once. What that brings is judged as always."""
    if case.status is Status.QUEUED:
        return Decision("ignored", note="the provider has not made it yet")
    if not is_askable(case):
        return Decision("ignored", note=_why_not(case))
    return Decision("noted", agenda={Stage.CHECK: case.now})


def _why_not(case: Case) -> str:
    """Why the provider can't be asked."""
    if waits_for_callback(case.invoice, case.policy):
        return "no callback has brought what to ask by yet"
    return "nothing to ask by is known yet" if case.policy.can_be_asked else "its provider can't be asked"
