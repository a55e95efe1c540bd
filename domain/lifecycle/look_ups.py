"""Judges what a look-up brought."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from domain.against import against
from domain.callbacks import LOOK_AGAIN_SECONDS, mismatch, own_answer
from domain.contradicted import Contradicted
from domain.decision import Agenda, Changes, Decision, Stage, Verdict
from domain.evidence import Evidence, Seen
from domain.lifecycle.callbacks import alone
from domain.lifecycle.case import (
    AFTER_PROVIDER_END,
    Case,
    anomaly_of,
    asked_wait,
    end_of,
    grace_since,
    is_askable,
    is_claimed,
    is_last_call,
    is_monitored,
    learnt,
    may_be_anothers,
    next_poll,
    next_refund_look,
    provider_end,
    span,
)
from domain.lifecycle.moves import NOT_CALLED, at_rest, contradict, expire, give_back, move, nothing_due, pay, step
from domain.schedule import REFUND_RETRY_SECONDS
from domain.status import FINAL, TRANSITIONS, UNMADE, UNPAID, WATCHED, Anomaly, Status

#: A provider that expires an invoice says so a moment later.
JUST_AFTER = timedelta(seconds=1)


def seen(case: Case, evidence: Seen) -> Decision:
    wrong = mismatch(case.invoice, evidence, case.policy.underpaid_tolerance_percent)
    if wrong is None:
        return _heard(case, evidence, _bound(case, evidence))
    own = own_answer(case.invoice, evidence, case.policy.underpaid_tolerance_percent)
    if own is None:
        return _unbound(case, evidence, wrong)
    return _beside(case, replace(own, asked_at=evidence.asked_at), wrong)


def _beside(case: Case, own: Seen, wrong: str) -> Decision:
    """Some answer was about something else (``wrong``); the invoice's own answer (``own``) is judged.

    A callback that waits may have been about the other thing: it is forgotten, or, if this answer moves the invoice, no
    longer decides alone. If ``wrong`` is about this invoice it is a contradiction, unless there is better news.
    """
    decision = _bound(case, own)
    if decision.verdict == "contradiction":
        return replace(decision, note=decision.note or f"{against(own)}, and it is {case.status}")
    changes = decision.changes
    if changes.get("called_status", case.invoice.called_status) is not None:
        alone_no_more: Changes = {"called_only": 0}
        changes = {**changes, **(alone_no_more if "status" in changes else NOT_CALLED)}
    decision = replace(decision, changes=changes, note=decision.note or wrong)
    is_foreign = wrong.partition(":")[0] in {"reference", "order"}
    return decision if is_foreign or decision.event else replace(decision, verdict="contradiction")


def _heard(case: Case, evidence: Seen, decision: Decision) -> Decision:
    """A look-up was answered: the time until a callback decides alone begins anew. Not after the monitoring time: the
    watch depends on it, and would never end."""
    waits = case.invoice.called_status is not None and decision.changes.get("called_status", "") is not None
    over = case.invoice.expires_at is None or case.now >= case.invoice.expires_at + span(case.policy.monitor_minutes)
    if not waits or evidence.status is None or over:
        return decision
    return replace(decision, changes={**decision.changes, "called_answered_at": case.now})


def _bound(case: Case, evidence: Seen) -> Decision:
    target = evidence.status
    if case.status is Status.IN_DOUBT and evidence.provider_ref is not None and target in WATCHED | {Status.PAID}:
        return _adopt(case, evidence)
    if target is None or case.status in UNMADE or (target is case.status and not _grown(case, evidence)):
        return not_seen(case, evidence)
    if target not in TRANSITIONS[case.status]:
        if case.status in FINAL:
            return contradict(case, agrees={case.status, target} <= UNPAID)
        if target is Status.PARTIALLY_PAID and case.status is Status.EXPIRED and is_monitored(case):
            return _partly_late(case, evidence)
        return not_seen(case, evidence)
    if case.status is Status.EXPIRED and not is_monitored(case):
        return Decision("contradiction", agenda=nothing_due())
    word = f"the provider says {evidence.word}"
    paid = learnt(case, evidence)
    if target is Status.EXPIRED:
        return expire(case, word, evidence.anomaly, paid)
    if target is Status.PARTIALLY_PAID and is_last_call(case, evidence):
        ends = provider_end(case, evidence)
        return expire(case, "expires_at has passed", Anomaly.UNDERPAID, paid, ends)
    return step(case, target, word, {"anomaly": _anomaly(case, target, evidence), "quiet_polls": 0, **paid})


def _partly_late(case: Case, evidence: Seen) -> Decision:
    """A part of the amount is seen only after the invoice expired: it came late, or nobody could be asked in time. It
    stays expired, and is watched for the rest. The shop is told once that money has come, unless it knows, and anew if
    more comes after a mark."""
    if case.invoice.called_status == Status.PARTIALLY_PAID:  # what a callback said is confirmed
        decision = _look_later(case, evidence, "noted")
        decision = replace(decision, changes={**decision.changes, **NOT_CALLED})
    else:
        decision = not_seen(case, evidence)
    if case.invoice.anomaly is not None and not _is_more_than_settled(case, evidence):
        return decision
    told: Changes = {} if case.invoice.anomaly else {"anomaly": Anomaly.UNDERPAID, "updated_at": case.now}
    why = f"late_payment: the provider says {evidence.word}, after it expired"
    return replace(decision, verdict="contradiction", changes={**decision.changes, **told}, note=why)


def _is_more_than_settled(case: Case, evidence: Seen) -> bool:
    """Whether money came after a mark said that it stays expired."""
    if evidence.paid_amount is None or not Contradicted.read(case.invoice.contradicted).is_settled:
        return False
    return evidence.paid_amount > (case.invoice.paid_amount or 0)


def _anomaly(case: Case, target: Status, evidence: Seen) -> Anomaly | str | None:
    """The anomaly. A refund keeps its payment's. A payment after the invoice was closed is first of all late. Then the
    provider's own word counts, then the amounts that it tells."""
    if target is Status.REFUNDED:
        return evidence.anomaly or case.invoice.anomaly
    if _is_late(case):
        return Anomaly.LATE
    if evidence.anomaly is not None or target is not Status.PAID:
        return evidence.anomaly
    return anomaly_of(evidence.paid_amount, evidence.pay_amount or case.invoice.pay_amount)


def _is_late(case: Case) -> bool:
    """Whether it was closed before: the shop has been told that it expired."""
    invoice = case.invoice
    return not invoice.first_open and (case.status is not Status.CONFIRMING or invoice.anomaly == Anomaly.LATE)


def _grown(case: Case, evidence: Seen) -> bool:
    """Whether a partial payment has grown: one that has not is no news."""
    if case.status is not Status.PARTIALLY_PAID or evidence.paid_amount is None:
        return False
    return evidence.paid_amount > (case.invoice.paid_amount or 0)


def not_seen(case: Case, evidence: Evidence) -> Decision:
    """Nothing new: look again later, unless this was the last look-up before the expiry."""
    if case.status in FINAL or (case.status is Status.EXPIRED and not is_monitored(case)):
        return Decision("ignored", agenda=_after_refund_look(case, evidence))
    if is_last_call(case, evidence):
        unheard = not isinstance(evidence, Seen) or evidence.status is None
        return expire(case, provider_ends=provider_end(case, evidence), unheard=unheard)
    same = isinstance(evidence, Seen) and evidence.status is case.status
    verdict: Verdict = "ignored" if same else "noted"
    if case.invoice.called_status and case.status is not Status.QUEUED:
        return _look_again(case, evidence, verdict)
    if case.status in UNMADE:
        return Decision(verdict)
    return _look_later(case, evidence, verdict)


def _look_later(case: Case, evidence: Evidence, verdict: Verdict) -> Decision:
    """Plan the next look-up: right after the provider's own expiry, if that comes first. An expired invoice is watched
    until then."""
    end, ends = end_of(case), provider_end(case, evidence)
    quiet = case.invoice.quiet_polls + 1
    changes: Changes = {"quiet_polls": quiet, **learnt(case, evidence)}
    agenda: Agenda = {}
    if ends is not None and case.status is Status.EXPIRED and end is not None and end < ends + AFTER_PROVIDER_END:
        verdict, end = "noted", ends + AFTER_PROVIDER_END
        changes["monitor_until"] = agenda[Stage.CLOCK] = end
    due = next_poll(case, quiet, end)
    if due is not None and ends is not None and end is not None and ends < end:
        due = min(due, ends + JUST_AFTER)
    if due is not None:
        due = max(due, case.after(asked_wait(evidence)))
    return Decision(verdict, changes, agenda=agenda | {Stage.CHECK: due})


def _after_refund_look(case: Case, evidence: Evidence) -> Agenda:
    """The agenda after a look-up for a refund: one without an answer is repeated before its next turn."""
    agenda = at_rest(case)
    watched = case.status is Status.PAID and next_refund_look(case, case.invoice.updated_at) is not None
    if watched and not isinstance(evidence, Seen) and is_askable(case):
        agenda[Stage.CHECK] = case.after(max(REFUND_RETRY_SECONDS, asked_wait(evidence)))
    return agenda


def _look_again(case: Case, evidence: Evidence, verdict: Verdict) -> Decision:
    """A callback's word is not confirmed yet: look again soon. If no look-up is answered in time, it decides alone."""
    ends = grace_since(case) + span(case.policy.callback_grace_minutes)
    answered = isinstance(evidence, Seen) and evidence.status is not None
    if not answered and ends <= case.now and is_claimed(case) and may_be_anothers(case):
        return give_back({Stage.CHECK: next_poll(case, case.invoice.quiet_polls, end_of(case))})
    if not answered and ends <= case.now:
        decision = alone(case, case.invoice, {})
        if decision.agenda:
            return decision
        look = next_poll(case, case.invoice.quiet_polls, end_of(case))  # it can't decide alone: polling goes on
        return replace(decision, agenda={Stage.CHECK: look})
    looks = (case.invoice.called_looks or 0) + 1
    wait = LOOK_AGAIN_SECONDS[looks - 1] if looks <= len(LOOK_AGAIN_SECONDS) else case.policy.poll_seconds
    due = case.after(max(wait, asked_wait(evidence)))
    if not answered:
        due = min(due, max(ends, case.now + timedelta(seconds=1)))
    return Decision(verdict, {"called_looks": looks, **learnt(case, evidence)}, agenda={Stage.CHECK: due})


def _unbound(case: Case, evidence: Seen, why: str) -> Decision:
    """An answer that does not fit what the order asked for. It is kept and told, and never counts as a payment."""
    if case.status in FINAL or (case.status is Status.EXPIRED and not is_monitored(case)):
        return Decision("contradiction", note=why, agenda=at_rest(case))
    if is_last_call(case, evidence):
        return replace(expire(case), note=why)
    quiet = case.invoice.quiet_polls + 1
    due = None if case.status in UNMADE else next_poll(case, quiet, end_of(case))
    verdict: Verdict = "noted" if case.invoice.called_only == 0 else "contradiction"
    return Decision(verdict, {**NOT_CALLED, "quiet_polls": quiet}, note=why, agenda={Stage.CHECK: due})


def _adopt(case: Case, evidence: Seen) -> Decision:
    """The answer to the create was lost, but the provider has the invoice: it becomes this one."""
    target = evidence.status or Status.PENDING
    minutes = case.invoice.lifetime_minutes or case.policy.lifetime_minutes
    end = provider_end(case, evidence) or case.now + span(minutes)
    made: Changes = {"provider_ref": evidence.provider_ref, "lifetime_minutes": minutes, "expires_at": end}
    if target is Status.CONFIRMING:
        made["monitor_until"] = end + span(case.policy.monitor_minutes)
    changes: Changes = {**made, "refused_since": None, **learnt(case, evidence)}
    word = f"the provider says {evidence.word}"
    if target is Status.PAID:
        return pay(case, word, changes)
    agenda: Agenda = {Stage.CREATE: None, Stage.CHECK: next_poll(case, 0, end, askable=True), Stage.CLOCK: end}
    return move(case, target, word, changes, agenda)
