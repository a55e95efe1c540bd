"""The one place where an invoice's status is decided: a pure function from (invoice, evidence, policy, now).

No I/O, no clock, no dice: ``now`` is the database's, ``jitter`` (0..1) is handed in. Every move it makes stands in
``status.TRANSITIONS``. What it leaves in ``Decision.agenda`` is the invoice's whole future: nothing else schedules it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from domain import schedule
from domain.decision import Agenda, Decision, InvoiceView, Policy, Stage, Verdict
from domain.evidence import (
    CancelRequested,
    ClockRanOut,
    Created,
    CredentialsRefused,
    Evidence,
    InDoubt,
    OrderRefused,
    RateLimited,
    RetryRequested,
    Seen,
    Unreachable,
    Unreadable,
)
from domain.status import FINAL, OPEN, SILENT, TRANSITIONS, WATCHED, Anomaly, Status

#: A provider's ``expired_at`` further away than this is a mistake of theirs.
LONGEST_LIFETIME = timedelta(days=3660)
MAX_LIFETIME_MINUTES = 525_600


class IllegalMoveError(AssertionError):
    """A bug in this file: a move that is not in TRANSITIONS. Nothing is written."""


@dataclass(frozen=True, slots=True)
class _Case:
    invoice: InvoiceView
    policy: Policy
    now: datetime
    jitter: float

    @property
    def status(self) -> Status:
        return Status(self.invoice.status)

    def after(self, seconds: float) -> datetime:
        return self.now + schedule.stretched(seconds, self.jitter)


def decide(invoice: InvoiceView, evidence: Evidence, policy: Policy, now: datetime, jitter: float = 0.0) -> Decision:
    """Judge one piece of evidence against the invoice as it is now. Pure; raises nothing for any evidence."""
    return _JUDGES[type(evidence)](_Case(invoice, policy, now, jitter), evidence)


# ---------------------------------------------------------------- what a create brought


def _created(case: _Case, evidence: Created) -> Decision:
    if case.status not in {Status.QUEUED, Status.IN_DOUBT}:
        return _against(case, same=evidence.provider_ref == case.invoice.provider_ref)
    gift = ("price", "currency", "pay_amount", "pay_currency", "network", "address", "payment_url", "qr_code")
    changes: dict[str, Any] = {name: value for name in gift if (value := getattr(evidence, name)) is not None}
    minutes = _usable(evidence.lifetime_minutes) or case.invoice.lifetime_minutes or case.policy.lifetime_minutes
    expires_at = evidence.expires_at or case.now + _minutes(minutes)
    if expires_at > case.now + LONGEST_LIFETIME:  # nobody meant that, and times beyond year 9999 can't be kept
        expires_at = case.now + _minutes(minutes)
    changes |= {
        "provider_ref": evidence.provider_ref,
        "lifetime_minutes": minutes,
        "expires_at": expires_at,
        "refused_since": None,
    }
    agenda: Agenda = {Stage.CREATE: None, Stage.CHECK: _next_poll(case, 0, expires_at), Stage.CLOCK: expires_at}
    return _move(case, Status.PENDING, None, changes, agenda)


def _order_refused(case: _Case, evidence: OrderRefused) -> Decision:
    if case.status is Status.QUEUED:
        return _close(case, Status.FAILED, evidence.reason)
    if case.status is Status.IN_DOUBT:
        # The repeat was refused, which says nothing of the first call: a twin may live. An operator decides.
        return Decision("noted", agenda={Stage.CREATE: None})
    return _against(case)


def _credentials_refused(case: _Case, evidence: CredentialsRefused) -> Decision:
    if case.status in WATCHED or case.status is Status.EXPIRED:
        return _not_seen(case, evidence)
    if case.status not in OPEN:
        return Decision("ignored", agenda=_nothing())
    tries = case.invoice.create_tries + 1
    since = case.invoice.refused_since or case.now
    end = since + _minutes(case.policy.hold_refused_minutes)
    if case.status is Status.QUEUED and end <= case.now:
        return _close(case, Status.FAILED, "credentials_refused")
    changes = {"create_tries": tries, "refused_since": since}
    agenda: Agenda = {Stage.CREATE: case.after(schedule.step(schedule.PROBE_SECONDS, tries))}
    if case.status is Status.QUEUED:
        agenda[Stage.CLOCK] = _earliest(case.invoice.create_before, end)
    return Decision("noted", changes, agenda=agenda)


def _again_later(case: _Case, evidence: Unreachable | RateLimited) -> Decision:
    """A create that was certainly not processed is repeated; a look-up that brought nothing too."""
    if case.status in WATCHED or case.status is Status.EXPIRED:
        return _not_seen(case, evidence)
    if case.status not in OPEN:
        return Decision("ignored", agenda=_nothing())
    if _too_late(case):
        return _close(case, Status.FAILED, "too_late")
    if case.status is Status.IN_DOUBT and _past_create_before(case):
        return Decision("noted", agenda={Stage.CREATE: None})
    tries = case.invoice.create_tries + 1
    due = case.after(schedule.step(schedule.CREATE_RETRY_SECONDS, tries))
    if isinstance(evidence, RateLimited) and evidence.retry_after_seconds:
        due = max(due, case.after(min(evidence.retry_after_seconds, schedule.RETRY_AFTER_LIMIT.total_seconds())))
    changes: dict[str, Any] = {"create_tries": tries, "refused_since": None}
    agenda: Agenda = {Stage.CREATE: due}
    if case.status is Status.QUEUED:
        agenda[Stage.CLOCK] = case.invoice.create_before
    return Decision("noted", changes, agenda=agenda)


def _in_doubt(case: _Case, evidence: InDoubt) -> Decision:
    if case.status in WATCHED or case.status is Status.EXPIRED:
        return _not_seen(case, evidence)
    if case.status not in OPEN:
        return Decision("ignored", agenda=_nothing())
    doubts = case.invoice.doubts + 1
    changes: dict[str, Any] = {"doubts": doubts, "refused_since": None}
    due = None
    if (
        case.policy.on_doubt == "retry"
        and doubts <= len(schedule.DOUBT_RETRY_SECONDS)
        and not _past_create_before(case)
    ):
        due = case.after(schedule.step(schedule.DOUBT_RETRY_SECONDS, doubts))
    agenda: Agenda = {Stage.CREATE: due, Stage.CLOCK: None}
    if case.status is Status.IN_DOUBT:
        return Decision("noted", changes, agenda=agenda)
    return _move(case, Status.IN_DOUBT, evidence.reason, changes, agenda)


def _retry_requested(case: _Case, evidence: RetryRequested) -> Decision:
    if case.status is not Status.IN_DOUBT:
        return Decision("ignored")
    return Decision("noted", {"doubts": 0}, agenda={Stage.CREATE: case.now})


# ---------------------------------------------------------------- what a look-up or a callback brought


def _seen(case: _Case, evidence: Seen) -> Decision:
    target = evidence.status
    if target is None or case.status in {Status.QUEUED, Status.IN_DOUBT}:
        return _not_seen(case, evidence)
    if case.status in FINAL and not (case.status is Status.PAID and target is Status.REFUNDED):
        return _against(case, same=target is case.status)
    if target is case.status:
        return _grown(case, evidence) if target is Status.PARTIALLY_PAID else _not_seen(case, evidence)
    if target not in TRANSITIONS[case.status]:
        return _not_seen(case, evidence)
    if case.status is Status.EXPIRED and not _monitored(case):
        return Decision("contradiction", agenda=_nothing())
    if target is Status.EXPIRED:
        return _expire(case, f"the provider says {evidence.word}", evidence.anomaly)
    if target in WATCHED and _last_call(case, evidence) and target is not Status.CONFIRMING:
        paid = {"paid_amount": evidence.paid_amount} if evidence.paid_amount is not None else {}
        return _expire(case, "expires_at has passed", _shortfall(target), paid)
    return _payment(case, target, evidence)


def _payment(case: _Case, target: Status, evidence: Seen) -> Decision:
    """A step forward (or back from confirming) that the provider reports."""
    late = Anomaly.LATE if case.status is Status.EXPIRED or case.invoice.anomaly == Anomaly.LATE else None
    kept = case.invoice.anomaly if target is Status.REFUNDED else None
    changes: dict[str, Any] = {"anomaly": evidence.anomaly or late or kept, "quiet_polls": 0}
    if evidence.paid_amount is not None:
        changes["paid_amount"] = evidence.paid_amount
    if target not in OPEN:
        return _close(case, target, f"the provider says {evidence.word}", changes)
    expires_at = case.invoice.expires_at or case.now
    end = case.invoice.monitor_until
    if target is Status.CONFIRMING:
        end = end or max(expires_at, case.now) + _monitoring(case)
        changes["monitor_until"] = end
    clock = end if target is Status.CONFIRMING else expires_at
    agenda: Agenda = {Stage.CHECK: _next_poll(case, 0, clock), Stage.CLOCK: clock}
    return _move(case, target, f"the provider says {evidence.word}", changes, agenda)


def _grown(case: _Case, evidence: Seen) -> Decision:
    """A partial payment that grew is told; one that did not changes nothing."""
    if evidence.paid_amount is None or evidence.paid_amount <= (case.invoice.paid_amount or 0):
        return _not_seen(case, evidence)
    if _last_call(case, evidence):
        return _expire(case, "expires_at has passed", Anomaly.UNDERPAID, {"paid_amount": evidence.paid_amount})
    changes = {"paid_amount": evidence.paid_amount, "quiet_polls": 0}
    agenda: Agenda = {Stage.CHECK: _next_poll(case, 0, case.invoice.expires_at)}
    return _move(case, Status.PARTIALLY_PAID, "more was paid", changes, agenda)


def _not_seen(case: _Case, evidence: Evidence) -> Decision:
    """Nothing new: look again later, unless this was the last look before expiry."""
    if case.status in FINAL:
        return Decision("ignored", agenda=_nothing())
    if _last_call(case, evidence):
        return _expire(case, "expires_at has passed")
    if case.status is Status.EXPIRED and not _monitored(case):
        return Decision("ignored", agenda=_nothing())
    quiet = case.invoice.quiet_polls + 1
    news = not isinstance(evidence, Seen) or evidence.status is not case.status
    verdict: Verdict = "noted" if news else "ignored"
    due = _next_poll(case, quiet, case.invoice.monitor_until or case.invoice.expires_at)
    if isinstance(evidence, RateLimited) and evidence.retry_after_seconds and due:
        due = max(due, case.after(min(evidence.retry_after_seconds, schedule.RETRY_AFTER_LIMIT.total_seconds())))
    if case.status not in WATCHED and case.status is not Status.EXPIRED:
        return Decision(verdict)
    return Decision(verdict, {"quiet_polls": quiet}, agenda={Stage.CHECK: due})


# ---------------------------------------------------------------- what the clock and the shop say


def _clock_ran_out(case: _Case, evidence: ClockRanOut) -> Decision:
    if case.status is Status.QUEUED:
        return _queued_ran_out(case, in_call=evidence.in_call)
    if case.status is Status.EXPIRED:
        if _monitored(case):
            return Decision("ignored", agenda={Stage.CLOCK: case.invoice.monitor_until})
        return Decision("ignored", agenda=_nothing())
    if case.status not in WATCHED:
        return Decision("ignored", agenda={Stage.CLOCK: None})
    end = case.invoice.monitor_until if case.status is Status.CONFIRMING else case.invoice.expires_at
    if end is None or end > case.now:
        return Decision("ignored", agenda={Stage.CLOCK: end})
    if case.status is Status.CONFIRMING:
        return _expire(case, "the payment was never confirmed")
    if case.policy.can_be_asked and case.invoice.provider_ref:
        asked = case.invoice.final_look_at
        patience = timedelta(seconds=case.policy.timeout_seconds)
        if asked is None or asked < end:
            agenda: Agenda = {Stage.CHECK: case.now, Stage.CLOCK: case.now + patience}
            return Decision("noted", {"final_look_at": case.now}, agenda=agenda)
        if asked + patience > case.now:
            return Decision("ignored", agenda={Stage.CLOCK: asked + patience})
    return _expire(case, "expires_at has passed")


def _queued_ran_out(case: _Case, *, in_call: bool) -> Decision:
    refused, hold = case.invoice.refused_since, _minutes(case.policy.hold_refused_minutes)
    hold_end = refused + hold if refused else None
    due = _earliest(case.invoice.create_before, hold_end)
    if due is None or due > case.now:
        return Decision("ignored", agenda={Stage.CLOCK: due})
    if in_call:  # its answer decides; look again soon
        return Decision("ignored", agenda={Stage.CLOCK: case.now + timedelta(seconds=1)})
    return _close(case, Status.FAILED, "too_late" if _past_create_before(case) else "credentials_refused")


def _cancel_requested(case: _Case, evidence: CancelRequested) -> Decision:
    if case.status in OPEN:
        return _close(case, Status.CANCELLED, evidence.reason)
    return _against(case, same=case.status is Status.CANCELLED)


# ---------------------------------------------------------------- the moves


def _move(
    case: _Case,
    target: Status,
    reason: str | None,
    changes: Mapping[str, Any],
    agenda: Agenda,
) -> Decision:
    if target not in TRANSITIONS[case.status]:
        raise IllegalMoveError(f"{case.status} -> {target}")
    told = target not in SILENT
    fields = {**changes, "status": target.value, "reason": reason, "updated_at": case.now}
    if told:
        fields["sequence"] = case.invoice.sequence + 1
    if target not in OPEN:
        fields["first_open"] = 0
    return Decision("applied", fields, f"invoice.{target.value}" if told else None, dict(agenda))


def _close(case: _Case, target: Status, reason: str, changes: Mapping[str, Any] | None = None) -> Decision:
    return _move(case, target, reason, changes or {}, _nothing())


def _expire(
    case: _Case, reason: str, anomaly: Anomaly | None = None, extra: Mapping[str, Any] | None = None
) -> Decision:
    """Expire; where the provider can be asked go on watching for a late payment until the monitoring time ends."""
    until = case.invoice.monitor_until or case.now + _monitoring(case)
    changes = {
        **(extra or {}),
        "monitor_until": until,
        "anomaly": anomaly or _shortfall(case.status),
        "quiet_polls": 0,
    }
    agenda = _nothing()
    if case.policy.can_be_asked and case.invoice.provider_ref and until > case.now:
        agenda |= {Stage.CHECK: _next_poll(case, 0, until, expired=True), Stage.CLOCK: until}
    return _move(case, Status.EXPIRED, reason, changes, agenda)


def _against(case: _Case, *, same: bool = False) -> Decision:
    """Evidence against an invoice that is past it: kept, changes nothing; the same thing said twice is no news."""
    if case.status in OPEN:
        return Decision("ignored" if same else "contradiction")
    agenda = {} if case.status is Status.EXPIRED else _nothing()
    return Decision("ignored" if same else "contradiction", agenda=agenda)


def _nothing() -> Agenda:
    return {Stage.CREATE: None, Stage.CHECK: None, Stage.CLOCK: None}


# ---------------------------------------------------------------- times


def _next_poll(case: _Case, quiet: int, end: datetime | None, *, expired: bool = False) -> datetime | None:
    """The next look-up. The one at ``end`` itself is the clock's to order; past the end nobody looks."""
    if not case.policy.can_be_asked:
        return None
    seconds = case.policy.poll_seconds
    if expired or case.status is Status.EXPIRED:
        seconds = max(seconds, schedule.MONITOR_POLL_SECONDS)
    due = case.now + schedule.poll_wait(seconds, quiet, case.jitter)
    return due if end is None else min(due, max(end, case.now + timedelta(seconds=1)))


def _last_call(case: _Case, evidence: Evidence) -> bool:
    """The look-up was asked for after ``expires_at``: whatever it brought short of a payment, the time is over."""
    end, asked = case.invoice.expires_at, evidence.asked_at
    waits = case.status in {Status.PENDING, Status.PARTIALLY_PAID}
    return waits and end is not None and asked is not None and end <= asked and end <= case.now


def _too_late(case: _Case) -> bool:
    return case.status is Status.QUEUED and _past_create_before(case)


def _past_create_before(case: _Case) -> bool:
    before = case.invoice.create_before
    return before is not None and before <= case.now


def _monitoring(case: _Case) -> timedelta:
    return _minutes(case.policy.monitor_minutes)


def _monitored(case: _Case) -> bool:
    return case.invoice.monitor_until is not None and case.now < case.invoice.monitor_until


def _minutes(minutes: Decimal) -> timedelta:
    return timedelta(seconds=float(minutes * 60))


def _usable(minutes: Decimal | None) -> Decimal | None:
    return minutes if minutes is not None and 0 < minutes <= MAX_LIFETIME_MINUTES else None


def _shortfall(status: Status) -> Anomaly | None:
    return Anomaly.UNDERPAID if status is Status.PARTIALLY_PAID else None


def _earliest(*times: datetime | None) -> datetime | None:
    return min((time for time in times if time is not None), default=None)


_JUDGES: dict[type[Evidence], Callable[[_Case, Any], Decision]] = {
    Created: _created,
    OrderRefused: _order_refused,
    CredentialsRefused: _credentials_refused,
    Unreachable: _again_later,
    RateLimited: _again_later,
    InDoubt: _in_doubt,
    Unreadable: _not_seen,
    Seen: _seen,
    ClockRanOut: _clock_ran_out,
    CancelRequested: _cancel_requested,
    RetryRequested: _retry_requested,
}
