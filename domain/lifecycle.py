"""The one place where an invoice's status is decided: a pure function from (invoice, evidence, policy, now).

No I/O, no clock, no dice: ``now`` and ``epoch`` are the database's, ``jitter`` (0..1) is handed in. Every move it makes
stands in ``status.TRANSITIONS``. What it leaves in ``Decision.agenda`` is the invoice's whole future: nothing else
schedules it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

from domain import schedule
from domain.against import CONTRADICTION, against
from domain.callbacks import CLAIMS, LOOK_AGAIN_SECONDS, is_news, mismatch, objection, reading
from domain.decision import Agenda, Decision, InvoiceView, Policy, Stage, Verdict
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
from domain.exact_json import read_json, write_json
from domain.fallbacks import next_turn
from domain.marks import anomaly_of, is_contradiction, may_mark
from domain.order import MAX_LIFETIME_MINUTES
from domain.sequence import next_sequence
from domain.status import FINAL, OPEN, SILENT, TRANSITIONS, UNMADE, UNPAID, WATCHED, Anomaly, Status

#: A provider's ``expired_at`` further away than this is a mistake of theirs.
LONGEST_LIFETIME = timedelta(days=3660)
#: Why an order that waits for its account waits, and why it fails when that lasts longer than ``hold_refused_minutes``.
REFUSED_REASONS: Mapping[type[Evidence], str] = {
    CredentialsRefused: "credentials_refused",
    ProviderRefused: "provider_refuses",
}
#: What an invoice forgets of its callbacks once they are confirmed, or found to be wrong.
NOT_CALLED: Mapping[str, Any] = dict.fromkeys(
    ("called_status", "called_word", "called_amount", "called_currency", "called_only", "called_at", "called_looks")
)
_LAST_LOOK = timedelta(minutes=1)  #: for the look-up that ends the grace
MAX_REFERENCES = 20  #: of one invoice; a provider that goes on giving new ones is not followed
LAST_LOOKS = {Status.CONFIRMING: 4}  #: time-outs that the last look may take, else one: nobody watches afterwards


class IllegalMoveError(AssertionError):
    """A bug in this file: a move that is not in TRANSITIONS. Nothing is written."""


@dataclass(slots=True)
class _Case:
    invoice: InvoiceView
    status: Status
    policy: Policy
    now: datetime
    jitter: float
    epoch: int

    def after(self, seconds: float) -> datetime:
        return self.now + schedule.stretched(seconds, self.jitter)


def decide(
    invoice: InvoiceView, evidence: Evidence, policy: Policy, now: datetime, jitter: float = 0.0, epoch: int = 0
) -> Decision:
    """Judge one piece of evidence against the invoice as it is now. Pure; raises nothing for any evidence."""
    case = _Case(invoice, Status(invoice.status), policy, now, jitter, epoch)
    decision = _JUDGES[type(evidence)](case, evidence)
    return decision if decision.verdict != "contradiction" else _contradicted(case, evidence, decision)


def _contradicted(case: _Case, evidence: Evidence, decision: Decision) -> Decision:
    """A contradiction has an event of its own in the invoice's sequence, once for each kind. Nobody outside knows of
    an invoice that is still silent."""
    note = decision.note or f"{against(evidence)}, and it is {case.status}"
    told, kind = (case.invoice.contradicted or "").split(), note.partition(":")[0]
    if kind in told or case.status in SILENT:
        return replace(decision, note=note)
    sequence = next_sequence(case.invoice.sequence, case.epoch)
    changes = {**decision.changes, "sequence": sequence, "contradicted": " ".join([*told, kind])}
    return replace(decision, note=note, changes=changes, event=CONTRADICTION)


# ---------------------------------------------------------------- what a create brought


def _created(case: _Case, evidence: Created) -> Decision:
    if case.status not in UNMADE:
        return _against(case, agrees=evidence.provider_ref == case.invoice.provider_ref)
    gift = ("price", "currency", "pay_amount", "pay_currency", "network", "address", "payment_url", "qr_code")
    changes: dict[str, Any] = {name: value for name in gift if (value := getattr(evidence, name)) is not None}
    minutes = _usable(evidence.lifetime_minutes) or case.invoice.lifetime_minutes or case.policy.lifetime_minutes
    expires_at = evidence.expires_at or case.now + _minutes(minutes)
    if expires_at > case.now + LONGEST_LIFETIME:  # nobody meant that, and times beyond year 9999 can't be kept
        expires_at = case.now + _minutes(minutes)
    changes |= {"provider_ref": evidence.provider_ref, "lifetime_minutes": minutes, "expires_at": expires_at}
    changes["refused_since"] = None
    look = _next_poll(case, 0, expires_at, askable=_askable(case, evidence.provider_ref))
    told = evidence.disbelieved_expires_at
    at_once = told is not None and told <= case.now  # expired at birth, it says: that is looked at
    if look is not None and (at_once or case.invoice.called_status):  # or its callback was faster than this answer
        look = case.now
    agenda: Agenda = {Stage.CREATE: None, Stage.CHECK: look, Stage.CLOCK: expires_at}
    if case.invoice.called_status and look is None:
        return _alone(case, case.invoice, changes, expires_at)
    return _move(case, Status.PENDING, None, changes, agenda)


def _order_refused(case: _Case, evidence: OrderRefused) -> Decision:
    if case.status is Status.QUEUED:
        return _pass_on(case, evidence.reason) or _close(case, Status.FAILED, evidence.reason)
    # A repeat was refused, which says nothing of the first call: a twin may live. In doubt, an operator decides.
    return Decision("noted", agenda={Stage.CREATE: None})


def _account_refused(case: _Case, evidence: CredentialsRefused | ProviderRefused) -> Decision:
    """The account is turned away, not the order: it waits, is tried now and then, and says what it waits for."""
    if case.status not in UNMADE:
        return _not_seen(case, evidence)
    passed_on = _pass_on(case, evidence.reason)
    if passed_on is not None:
        return passed_on
    tries = case.invoice.create_tries + 1
    since = case.invoice.refused_since or case.now
    end = since + _minutes(case.policy.hold_refused_minutes)
    reason = REFUSED_REASONS[type(evidence)]
    if case.status is Status.QUEUED and end <= case.now:
        return _close(case, Status.FAILED, reason)
    changes: dict[str, Any] = {"create_tries": tries, "refused_since": since}
    probe = case.after(schedule.step(schedule.PROBE_SECONDS, tries))
    last = end - timedelta(seconds=case.policy.timeout_seconds + 1)  # what was mended meanwhile saves the order
    agenda: Agenda = {Stage.CREATE: min(probe, last) if last > case.now else probe}
    if case.status is Status.QUEUED:
        changes["reason"] = reason
        agenda[Stage.CLOCK] = _earliest(case.invoice.create_before, end)
    return Decision("noted", changes, agenda=agenda)


def _again_later(case: _Case, evidence: Unreachable | RateLimited) -> Decision:
    """A create that was certainly not processed is repeated; a look-up that brought nothing too."""
    if case.status not in UNMADE:
        return _not_seen(case, evidence)
    queued = case.status is Status.QUEUED
    if _past_create_before(case):
        return _close(case, Status.FAILED, "too_late") if queued else Decision("noted", agenda={Stage.CREATE: None})
    tries = case.invoice.create_tries + 1
    if isinstance(evidence, Unreachable) and tries >= schedule.TRIES_BEFORE_FALLBACK:
        passed_on = _pass_on(case, evidence.reason)
        if passed_on is not None:
            return passed_on
    wait = max(schedule.step(schedule.CREATE_RETRY_SECONDS, tries), _asked_wait(evidence))
    changes: dict[str, Any] = {"create_tries": tries, "refused_since": None}
    agenda: Agenda = {Stage.CREATE: case.after(wait)}
    if queued:
        agenda[Stage.CLOCK] = case.invoice.create_before
        changes["reason"] = None  # it no longer waits for a refusal to end
    return Decision("noted", changes, agenda=agenda)


def _in_doubt(case: _Case, evidence: InDoubt) -> Decision:
    if case.status not in UNMADE:
        return _not_seen(case, evidence)
    doubts = case.invoice.doubts + 1
    repeat = case.policy.on_doubt == "retry" and doubts <= len(schedule.DOUBT_RETRY_SECONDS)
    due = case.after(schedule.step(schedule.DOUBT_RETRY_SECONDS, doubts)) if repeat else None
    changes: dict[str, Any] = {"doubts": doubts, "refused_since": None}
    agenda: Agenda = {Stage.CREATE: None if _past_create_before(case) else due, Stage.CLOCK: None}
    if case.status is Status.IN_DOUBT:
        return Decision("noted", changes, agenda=agenda)
    return _move(case, Status.IN_DOUBT, evidence.reason, changes, agenda)


def _pass_on(case: _Case, why: str) -> Decision | None:
    """The order goes on to its next account; None where it has none, or the one it is with may have made it.

    A callback before the create's answer says that the order got there, whatever else that account says.
    """
    invoice = case.invoice
    perhaps_made = case.status is not Status.QUEUED or invoice.called_status or invoice.asked_by
    if perhaps_made or _past_create_before(case):
        return None
    changes, skipped = next_turn(invoice, case.policy)
    if changes is None:
        return None
    reason = f"{invoice.provider_account}: {why}"
    changes |= {"reason": reason, "create_tries": 0, "refused_since": None, "updated_at": case.now}
    passed_over = "".join(f"{account} is no longer configured; " for account in skipped)
    note = f"{passed_over}next: {changes['provider_account']}"
    return Decision("applied", changes, None, {Stage.CREATE: case.now, Stage.CLOCK: invoice.create_before}, note)


def _retry_requested(case: _Case, evidence: RetryRequested) -> Decision:
    if case.status is not Status.IN_DOUBT:
        return Decision("ignored")
    return Decision("noted", {"doubts": 0}, agenda={Stage.CREATE: case.now})


# ---------------------------------------------------------------- what a look-up or a callback brought


def _seen(case: _Case, evidence: Seen) -> Decision:
    target = evidence.status
    wrong = mismatch(case.invoice, evidence, case.policy.underpaid_tolerance_percent)
    if wrong is not None:
        return _unbound(case, evidence, wrong)
    if case.status is Status.IN_DOUBT and evidence.provider_ref is not None and target in WATCHED | {Status.PAID}:
        return _adopt(case, evidence)
    if target is None or case.status in UNMADE or (target is case.status and not _grown(case, evidence)):
        return _not_seen(case, evidence)
    if target not in TRANSITIONS[case.status]:
        if case.status in FINAL:
            return _against(case, agrees={case.status, target} <= UNPAID)
        return _not_seen(case, evidence)
    if case.status is Status.EXPIRED and not _monitored(case):
        return Decision("contradiction", agenda=_nothing())
    word = f"the provider says {evidence.word}"
    paid = _learnt(case, evidence)
    if target is Status.EXPIRED:
        return _expire(case, word, evidence.anomaly, paid)
    if target is Status.PARTIALLY_PAID and _last_call(case, evidence):
        return _expire(case, "expires_at has passed", Anomaly.UNDERPAID, paid)
    return _step(case, target, word, {"anomaly": _anomaly(case, target, evidence), "quiet_polls": 0, **paid})


def _step(case: _Case, target: Status, word: str, changes: dict[str, Any]) -> Decision:
    """A step forward (or back from confirming) that the provider reports."""
    if case.status is Status.EXPIRED and case.policy.late_payment == "hold" and changes.get("anomaly") is not None:
        return _hold(case, target, word, changes)
    if target not in OPEN:
        return _close(case, target, word, changes)
    end = case.invoice.expires_at or case.now
    if target is Status.CONFIRMING:
        end = case.invoice.monitor_until or max(end, case.now) + _minutes(case.policy.monitor_minutes)
        changes["monitor_until"] = end
    return _move(case, target, word, changes, {Stage.CHECK: _next_poll(case, 0, end), Stage.CLOCK: end})


def _hold(case: _Case, target: Status, word: str, changes: Mapping[str, Any]) -> Decision:
    """A late payment waits for a person's mark: the invoice stays expired. Watched on until the payment is certain."""
    why = f"late_payment: {word}, after it expired"
    fields: dict[str, Any] = {**changes, "anomaly": Anomaly.LATE}
    if case.invoice.anomaly != Anomaly.LATE:
        fields["updated_at"] = case.now
    if target is Status.PAID:
        return Decision("contradiction", {**fields, **NOT_CALLED}, note=why, agenda=_nothing())
    quiet = case.invoice.quiet_polls + 1
    look = _next_poll(case, quiet, _end(case))
    return Decision("contradiction", fields | {"quiet_polls": quiet}, note=why, agenda={Stage.CHECK: look})


def _anomaly(case: _Case, target: Status, evidence: Seen) -> Anomaly | str | None:
    """A refund keeps what was unusual about its payment; what is paid once the invoice was closed is late before it is
    anything else; then the provider's own word counts, then the amounts that it tells."""
    if target is Status.REFUNDED:
        return evidence.anomaly or case.invoice.anomaly
    if not case.invoice.first_open:
        return Anomaly.LATE
    asked = evidence.pay_amount or case.invoice.pay_amount
    if evidence.anomaly is not None or target is not Status.PAID or asked is None or evidence.paid_amount is None:
        return evidence.anomaly
    if evidence.paid_amount == asked:
        return None
    return Anomaly.UNDERPAID if evidence.paid_amount < asked else Anomaly.OVERPAID


def _grown(case: _Case, evidence: Seen) -> bool:
    """A partial payment that grew is told; one that did not is no news."""
    if case.status is not Status.PARTIALLY_PAID or evidence.paid_amount is None:
        return False
    return evidence.paid_amount > (case.invoice.paid_amount or 0)


def _not_seen(case: _Case, evidence: Evidence) -> Decision:
    """Nothing new: look again later, unless this was the last look before expiry."""
    if case.status in FINAL or (case.status is Status.EXPIRED and not _monitored(case)):
        return Decision("ignored", agenda=_nothing())
    if _last_call(case, evidence):
        return _expire(case)
    same = isinstance(evidence, Seen) and evidence.status is case.status
    verdict: Verdict = "ignored" if same else "noted"
    if case.invoice.called_status and case.status is not Status.QUEUED:
        return _look_again(case, evidence, verdict)
    if case.status in UNMADE:
        return Decision(verdict)
    quiet = case.invoice.quiet_polls + 1
    due = _next_poll(case, quiet, _end(case))
    if due is not None:
        due = max(due, case.after(_asked_wait(evidence)))
    return Decision(verdict, {"quiet_polls": quiet, **_learnt(case, evidence)}, agenda={Stage.CHECK: due})


# ---------------------------------------------------------------- callbacks: see domain/callbacks.py for the rules


def _called_back(case: _Case, evidence: CalledBack) -> Decision:
    """A doorbell, and a word that waits for a look-up to confirm it."""
    over = case.status is Status.EXPIRED and not _monitored(case)
    if case.status in FINAL or (over and not _came_in_time(case, evidence)):
        return _called_back_late(case, evidence)
    changes = _add_reference(case, evidence.reference)
    remembered = case.invoice.called_status
    news = is_news(Status(remembered) if remembered else case.status, evidence.status)
    if news:
        since = case.invoice.called_at or evidence.asked_at or case.now
        changes |= reading(evidence) | {"called_at": since, "called_looks": 0}
    elif not changes:
        return Decision("ignored")
    if case.status is Status.QUEUED:  # the answer to its create is still to come
        return Decision("noted", changes)
    if _askable(case, references=changes.get("asked_by")):
        agenda: Agenda = {Stage.CHECK: case.now}
        if over:  # it came while somebody watched, and is judged late: watched again until it is settled
            end = case.now + _minutes(case.policy.callback_grace_minutes) + _LAST_LOOK
            changes["monitor_until"] = agenda[Stage.CLOCK] = end
        return Decision("noted", changes, agenda=agenda)
    return _alone(case, evidence, changes) if news else Decision("noted", changes)


def _settled_by(case: _Case) -> datetime:
    """Until when a callback's word is looked into at least, whenever the watch would end otherwise."""
    since = case.invoice.called_at or case.now
    return since + _minutes(case.policy.callback_grace_minutes) + _LAST_LOOK


def _came_in_time(case: _Case, evidence: CalledBack) -> bool:
    """A worker may have died with it, or the database been away: it counts from when it came."""
    came, until = evidence.asked_at, case.invoice.monitor_until
    return came is not None and until is not None and came < until and evidence.status in CLAIMS


def _called_back_late(case: _Case, evidence: CalledBack) -> Decision:
    told = evidence.status
    if case.status is Status.PAID and told is Status.REFUNDED and _askable(case):
        return Decision("noted", agenda={Stage.CHECK: case.now})
    claims = told in CLAIMS and case.status in {Status.CANCELLED, Status.FAILED, Status.EXPIRED}
    denies = told in {Status.EXPIRED, Status.FAILED} and case.status is Status.PAID
    if claims or denies:
        return Decision("contradiction", note=f"status: the callback says {evidence.word}")
    return Decision("ignored")


def _look_again(case: _Case, evidence: Evidence, verdict: Verdict) -> Decision:
    """No look-up has confirmed yet what a callback says: soon again; where none is to be had, the callback decides."""
    since = case.invoice.called_at or case.now
    ends = since + _minutes(case.policy.callback_grace_minutes)
    answered = isinstance(evidence, Seen) and evidence.status is not None
    if not answered and ends <= case.now:
        decision = _alone(case, case.invoice, {})
        if decision.agenda:
            return decision
        look = _next_poll(case, case.invoice.quiet_polls, _end(case))  # it may not stand alone: polling goes on
        return replace(decision, agenda={Stage.CHECK: look})
    looks = (case.invoice.called_looks or 0) + 1
    wait = LOOK_AGAIN_SECONDS[looks - 1] if looks <= len(LOOK_AGAIN_SECONDS) else case.policy.poll_seconds
    due = case.after(max(wait, _asked_wait(evidence)))
    if not answered:
        due = min(due, max(ends, case.now + timedelta(seconds=1)))
    return Decision(verdict, {"called_looks": looks, **_learnt(case, evidence)}, agenda={Stage.CHECK: due})


def _alone(case: _Case, called: Any, changes: dict[str, Any], expires_at: datetime | None = None) -> Decision:
    """Nobody can be asked: the callback's own word counts, where nothing speaks against it."""
    told = called if not isinstance(called, CalledBack) else SimpleNamespace(**reading(called))
    changes = {**changes, **({} if expires_at is None else {"expires_at": expires_at})}
    if not told.called_only:
        return _unmade_or_noted(case, changes, expires_at)
    why = objection(case.invoice, told, case.policy.underpaid_tolerance_percent)
    if why is not None:
        return Decision("contradiction", {**changes, **NOT_CALLED}, note=why)
    target = Status(told.called_status)
    if target not in CLAIMS or target not in TRANSITIONS[case.status]:
        return _unmade_or_noted(case, changes, expires_at)
    word = f"the callback says {told.called_word}; it stood alone, no look-up was to be had"
    paid = {} if told.called_amount is None else {"paid_amount": told.called_amount}
    came = case.invoice.called_at or case.now
    in_time = case.invoice.expires_at is None or came <= case.invoice.expires_at
    anomaly = None if case.invoice.first_open or in_time else Anomaly.LATE
    return _step(case, target, word, {**changes, "anomaly": anomaly, "quiet_polls": 0, **paid})


def _unmade_or_noted(case: _Case, changes: dict[str, Any], expires_at: datetime | None) -> Decision:
    if expires_at is None:
        return Decision("noted", changes)
    return _move(case, Status.PENDING, None, changes, {Stage.CREATE: None, Stage.CHECK: None, Stage.CLOCK: expires_at})


def _unbound(case: _Case, evidence: Seen, why: str) -> Decision:
    """An answer that is about something else than what the order asked for: kept, told, and never a payment."""
    if case.status in FINAL or (case.status is Status.EXPIRED and not _monitored(case)):
        return Decision("contradiction", note=why, agenda=_nothing())
    if _last_call(case, evidence):
        return replace(_expire(case), note=why)
    quiet = case.invoice.quiet_polls + 1
    due = None if case.status in UNMADE else _next_poll(case, quiet, _end(case))
    verdict: Verdict = "noted" if case.invoice.called_only == 0 else "contradiction"
    return Decision(verdict, {**NOT_CALLED, "quiet_polls": quiet}, note=why, agenda={Stage.CHECK: due})


def _adopt(case: _Case, evidence: Seen) -> Decision:
    """The answer to a create was lost, and the provider has the invoice all the same: it is this one."""
    target = evidence.status or Status.PENDING
    minutes = case.invoice.lifetime_minutes or case.policy.lifetime_minutes
    end = case.now + _minutes(minutes)
    made = {"provider_ref": evidence.provider_ref, "lifetime_minutes": minutes, "expires_at": end}
    changes = {**made, "refused_since": None, **_learnt(case, evidence)}
    word = f"the provider says {evidence.word}"
    if target is Status.PAID:
        return _close(case, target, word, changes)
    agenda: Agenda = {Stage.CREATE: None, Stage.CHECK: _next_poll(case, 0, end, askable=True), Stage.CLOCK: end}
    return _move(case, target, word, changes, agenda)


def _learnt(case: _Case, evidence: Evidence) -> dict[str, Any]:
    """What a look-up tells of the payment beside its status."""
    if not isinstance(evidence, Seen):
        return {}
    found = {"paid_amount": evidence.paid_amount}
    if case.invoice.pay_amount is None:
        found["pay_amount"] = evidence.pay_amount
    return {name: value for name, value in found.items() if value is not None}


def _add_reference(case: _Case, reference: str | None) -> dict[str, Any]:
    known = references_of(case.invoice)
    if reference is None or reference in known or len(known) >= MAX_REFERENCES:
        return {}
    return {"asked_by": write_json([*known, reference])}


def references_of(invoice: Any) -> list[str]:
    """What callbacks brought to ask the provider by, oldest first."""
    return list(read_json(invoice.asked_by)) if invoice.asked_by else []


def _askable(case: _Case, provider_ref: str | None = None, references: str | None = None) -> bool:
    """Whether somebody can be asked about this invoice: by the provider's own id, or by what a callback brought."""
    if not case.policy.can_be_asked:
        return False
    if case.policy.asked_by_reference:
        return bool(references or case.invoice.asked_by)
    return bool(provider_ref or case.invoice.provider_ref)


# ---------------------------------------------------------------- what the clock and the shop say


def _clock_ran_out(case: _Case, evidence: ClockRanOut) -> Decision:
    if case.status is Status.QUEUED:
        return _queued_ran_out(case, in_call=evidence.in_call)
    if case.status in FINAL or case.status is Status.IN_DOUBT:
        return Decision("ignored", agenda={Stage.CLOCK: None})
    end = _end(case)
    if end is None or end > case.now:
        return Decision("ignored", agenda={Stage.CLOCK: end})
    if case.status is Status.EXPIRED:
        if case.invoice.called_status and Status(case.invoice.called_status) in CLAIMS:
            until = _settled_by(case)
            if until > case.now and _askable(case):  # nobody has had the time yet to confirm it
                return Decision("noted", {"monitor_until": until}, agenda={Stage.CHECK: case.now, Stage.CLOCK: until})
            why = f"status: a callback said {case.invoice.called_word}, and no look-up confirmed it"
            return Decision("contradiction", {**NOT_CALLED}, note=why, agenda=_nothing())
        return Decision("ignored", agenda=_nothing())
    if _askable(case):
        asked = case.invoice.final_look_at
        patience = timedelta(seconds=case.policy.timeout_seconds * LAST_LOOKS.get(case.status, 1))
        if asked is None or asked < end or asked > case.now:  # that was by a clock that has been set back since
            agenda: Agenda = {Stage.CHECK: case.now, Stage.CLOCK: case.now + patience}
            return Decision("noted", {"final_look_at": case.now}, agenda=agenda)
        if asked + patience > case.now:
            return Decision("ignored", agenda={Stage.CLOCK: asked + patience})
    return _expire(case)


def _queued_ran_out(case: _Case, *, in_call: bool) -> Decision:
    refused, hold = case.invoice.refused_since, _minutes(case.policy.hold_refused_minutes)
    hold_end = refused + hold if refused else None
    due = _earliest(case.invoice.create_before, hold_end)
    if due is None or due > case.now:
        return Decision("ignored", agenda={Stage.CLOCK: due})
    if in_call:  # its answer decides; look again soon
        return Decision("ignored", agenda={Stage.CLOCK: case.now + timedelta(seconds=1)})
    # Queued, its reason is what it waits for; rows of releases that kept none waited for their key.
    waited = case.invoice.reason or REFUSED_REASONS[CredentialsRefused]
    return _close(case, Status.FAILED, "too_late" if _past_create_before(case) else waited)


def _cancel_requested(case: _Case, evidence: CancelRequested) -> Decision:
    if case.status in OPEN:
        return _close(case, Status.CANCELLED, evidence.reason)
    return _against(case, agrees=case.status is Status.CANCELLED)


# ---------------------------------------------------------------- what operators say


def _marked(case: _Case, evidence: Marked) -> Decision:
    target = evidence.status
    if target is case.status:
        return Decision("ignored", note=f"it is {target} already")
    if not may_mark(case.status, target):
        verdict: Verdict = "contradiction" if is_contradiction(case.status, target) else "noted"
        return Decision(verdict, note=f"mark: marked as {target} by {evidence.by}, and it is {case.status}")
    changes: dict[str, Any] = {}
    if target is Status.PAID:
        told = anomaly_of(evidence.paid_amount, case.invoice.pay_amount)
        changes["anomaly"] = told if case.invoice.first_open else Anomaly.LATE
        if evidence.paid_amount is not None:
            changes["paid_amount"] = evidence.paid_amount
    return _close(case, target, f"marked by {evidence.by}: {evidence.reason}", changes)


def _recheck_requested(case: _Case, evidence: RecheckRequested) -> Decision:
    """A look at once. What it brings is judged by the invoice's status as ever."""
    if case.status is Status.QUEUED:
        return Decision("ignored", note="the provider has not made it yet")
    if not _askable(case):
        silent = "its provider can't be asked" if not case.policy.can_be_asked else "nothing to ask by is known yet"
        waits = case.policy.can_be_asked and case.policy.asked_by_reference
        return Decision("ignored", note="no callback has brought what to ask by yet" if waits else silent)
    return Decision("noted", agenda={Stage.CHECK: case.now})


# ---------------------------------------------------------------- the moves


def _move(case: _Case, target: Status, reason: str | None, changes: Mapping[str, Any], agenda: Agenda) -> Decision:
    if target not in TRANSITIONS[case.status]:
        raise IllegalMoveError(f"{case.status} -> {target}")
    told = target not in SILENT
    fields = {**changes, "status": target.value, "reason": reason, "updated_at": case.now}
    if told:
        fields["sequence"] = next_sequence(case.invoice.sequence, case.epoch)
    if target not in OPEN:
        fields["first_open"] = 0
    called = case.invoice.called_status
    if called and not is_news(target, Status(called)):
        fields |= NOT_CALLED
    elif called:
        agenda, fields = _still_called(case, agenda, fields)
    if case.invoice.fallbacks:  # made, in doubt or closed: no other account may make it as well
        fields["fallbacks"] = None
    return Decision("applied", fields, f"invoice.{target.value}" if told else None, dict(agenda))


def _still_called(case: _Case, agenda: Agenda, fields: dict[str, Any]) -> tuple[Agenda, dict[str, Any]]:
    """A callback says more than the move that is made: the look-up lagged, so it is looked again soon."""
    due, soon = agenda.get(Stage.CHECK), case.after(LOOK_AGAIN_SECONDS[0])
    if due is None or due <= soon:
        return agenda, fields
    return {**agenda, Stage.CHECK: soon}, {**fields, "called_looks": 1}


def _close(case: _Case, target: Status, reason: str, changes: Mapping[str, Any] | None = None) -> Decision:
    return _move(case, target, reason, changes or {}, _nothing())


def _expire(case: _Case, word: str = "", anomaly: Anomaly | None = None, paid: Mapping[str, Any] = {}) -> Decision:
    """Expire; where the provider can be asked go on watching for a late payment until the monitoring time ends."""
    over = "the payment was never confirmed" if case.status is Status.CONFIRMING else "expires_at has passed"
    until = case.invoice.monitor_until or case.now + _minutes(case.policy.monitor_minutes)
    anomaly = anomaly or (Anomaly.UNDERPAID if case.status is Status.PARTIALLY_PAID else None)
    changes = {"monitor_until": until, "anomaly": anomaly, "quiet_polls": 0, **paid}
    agenda = _nothing()
    if _askable(case) and until > case.now:
        agenda |= {Stage.CHECK: _next_poll(case, 0, until, expired=True), Stage.CLOCK: until}
    return _move(case, Status.EXPIRED, word or over, changes, agenda)


def _against(case: _Case, *, agrees: bool = False) -> Decision:
    """Evidence against an invoice that is past it: kept, changes nothing; what agrees with it is no news."""
    agenda = _nothing() if case.status in FINAL else {}
    return Decision("ignored" if agrees else "contradiction", agenda=agenda)


def _nothing() -> Agenda:
    return {Stage.CREATE: None, Stage.CHECK: None, Stage.CLOCK: None}


# ---------------------------------------------------------------- times


def _next_poll(
    case: _Case, quiet: int, end: datetime | None, *, expired: bool = False, askable: bool | None = None
) -> datetime | None:
    """The next look-up. The one at ``end`` itself is the clock's to order; past the end nobody looks."""
    if not (_askable(case) if askable is None else askable):
        return None
    seconds = case.policy.poll_seconds
    if expired or case.status is Status.EXPIRED:
        seconds = schedule.monitor_poll_seconds(seconds)
        last = None if end is None else end - timedelta(seconds=case.policy.timeout_seconds + 1)
        end = last if last is not None and last > case.now else end  # a look at the end itself comes too late to count
    due = case.now + schedule.poll_wait(seconds, quiet, case.jitter)
    return due if end is None else min(due, max(end, case.now + timedelta(seconds=1)))


def _last_call(case: _Case, evidence: Evidence) -> bool:
    """The look-up was asked for when the time was over: whatever it brought short of a payment, that is the end."""
    end, asked = _end(case), evidence.asked_at
    waits = case.status in {Status.PENDING, Status.PARTIALLY_PAID, Status.CONFIRMING}
    return waits and end is not None and asked is not None and end <= asked and end <= case.now


def _past_create_before(case: _Case) -> bool:
    before = case.invoice.create_before
    return before is not None and before <= case.now


def _end(case: _Case) -> datetime | None:
    """When the time of a made invoice's status is over."""
    return case.invoice.monitor_until if case.status in {Status.CONFIRMING, Status.EXPIRED} else case.invoice.expires_at


def _asked_wait(evidence: Evidence) -> float:
    """Seconds the provider asked us to wait, bounded; 0 where it did not."""
    return schedule.bounded_wait(evidence.retry_after_seconds) if isinstance(evidence, RateLimited) else 0.0


def _monitored(case: _Case) -> bool:
    """Whether a late payment still counts; what a callback says is looked into first, however late the clock comes."""
    until = case.invoice.monitor_until
    if until is not None and case.invoice.called_status and Status(case.invoice.called_status) in CLAIMS:
        until = max(until, _settled_by(case))
    return until is not None and case.now < until


@functools.lru_cache(1024)  # the policies' own, nearly always
def _minutes(minutes: Decimal) -> timedelta:
    return timedelta(seconds=float(minutes * 60))


def _usable(minutes: Decimal | None) -> Decimal | None:
    return minutes if minutes is not None and 0 < minutes <= MAX_LIFETIME_MINUTES else None


def _earliest(*times: datetime | None) -> datetime | None:
    return min((time for time in times if time is not None), default=None)


_JUDGES: dict[type[Evidence], Callable[[_Case, Any], Decision]] = {
    Created: _created,
    OrderRefused: _order_refused,
    CredentialsRefused: _account_refused,
    ProviderRefused: _account_refused,
    Unreachable: _again_later,
    RateLimited: _again_later,
    InDoubt: _in_doubt,
    Unreadable: _not_seen,
    Seen: _seen,
    CalledBack: _called_back,
    ClockRanOut: _clock_ran_out,
    CancelRequested: _cancel_requested,
    RetryRequested: _retry_requested,
    Marked: _marked,
    RecheckRequested: _recheck_requested,
}
