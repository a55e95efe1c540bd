"""What a decision looks at: an invoice under its policy at one moment, and questions about it."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from domain import schedule
from domain.account import MAX_LIFETIME_MINUTES
from domain.asking import Known, can_be_asked
from domain.callbacks import CLAIMS
from domain.decision import Changes, InvoiceView, Policy
from domain.evidence import FAILED_LOOK_UP, Evidence, RateLimited, Seen, says_failed_look_up
from domain.looks import least_wait
from domain.status import WATCHED, Anomaly, Status

#: For how many time-outs the clock waits for the last look-up; 1 for a status that is not here. More for a confirming
#: invoice: the answer ends its watch.
LAST_LOOKS = {Status.CONFIRMING: 4}
#: A provider's ``expired_at`` further away than this is its mistake.
LONGEST_LIFETIME = timedelta(days=3660)
#: An invoice is watched this much longer than its provider waits: a payment at the last moment must be seen.
AFTER_PROVIDER_END = timedelta(minutes=1)
LAST_LOOK_OF_GRACE = timedelta(minutes=1)  #: time for the look-up that ends a callback's grace


@dataclass(slots=True)
class Case:
    """An invoice, its account's policy, and the moment of the decision."""

    invoice: InvoiceView
    status: Status
    policy: Policy
    now: datetime
    jitter: float
    epoch: int

    def after(self, seconds: float) -> datetime:
        return self.now + schedule.stretched(seconds, self.jitter)


def is_askable(case: Case, provider_ref: str | None = None, references: str | None = None) -> bool:
    """Whether the provider can be asked about this invoice, also by references that the decision is about to write."""
    known = Known(provider_ref or case.invoice.provider_ref, references or case.invoice.asked_by)
    return can_be_asked(known, case.policy)


def end_of(case: Case) -> datetime | None:
    """When a made invoice's time is over: the monitoring time if confirming or expired, otherwise its own."""
    return case.invoice.monitor_until if case.status in {Status.CONFIRMING, Status.EXPIRED} else case.invoice.expires_at


def is_monitored(case: Case) -> bool:
    """Whether a late payment still counts. While a callback claims one, until look-ups had the time to confirm it."""
    until = case.invoice.monitor_until
    if until is not None and is_claimed(case):
        until = max(until, settled_by(case))
    return until is not None and case.now < until


def is_claimed(case: Case) -> bool:
    """Whether a callback claims a payment that no look-up has confirmed yet."""
    called = case.invoice.called_status
    return bool(called and Status(called) in CLAIMS)


def may_be_anothers(case: Case) -> bool:
    """Whether a callback's claim may be about another invoice, and no look-up that could tell was answered since."""
    invoice = case.invoice
    came, answered = invoice.called_at, invoice.called_answered_at
    return invoice.called_only == 0 and (answered is None or (came is not None and answered < came))


def is_unheard(case: Case) -> bool:
    """Whether the last look-up had no answer: a payment would not have been seen."""
    return says_failed_look_up(case.invoice.evidence_digest)


def unanswered(case: Case) -> Changes:
    """Remember that a look-up is still unanswered; the first answer clears it."""
    return {} if is_unheard(case) else {"evidence_digest": FAILED_LOOK_UP}


def is_in_time(invoice: InvoiceView, came: datetime) -> bool:
    """Whether ``came`` is no later than the invoice's expiry; true if it has none."""
    return invoice.expires_at is None or came <= invoice.expires_at


def grace_since(case: Case) -> datetime:
    """Since when a callback's word waits without an answer: since it came, or since the last answer after that."""
    came, answered = case.invoice.called_at or case.now, case.invoice.called_answered_at
    return came if answered is None else max(came, answered)


def settled_by(case: Case) -> datetime:
    """Until when look-ups may confirm a callback's word, even if the watch would end sooner."""
    return grace_since(case) + span(case.policy.callback_grace_minutes) + LAST_LOOK_OF_GRACE


def past_create_before(case: Case) -> bool:
    before = case.invoice.create_before
    return before is not None and before <= case.now


def is_last_call(case: Case, evidence: Evidence) -> bool:
    """Whether the look-up was asked for when the invoice's time was over: without a payment in it, that is the end."""
    end, asked = end_of(case), evidence.asked_at
    waits = case.status in {Status.PENDING, Status.PARTIALLY_PAID, Status.CONFIRMING}
    return waits and end is not None and asked is not None and end <= asked and end <= case.now


def next_poll(
    case: Case, quiet: int, end: datetime | None, *, expired: bool = False, askable: bool | None = None
) -> datetime | None:
    """When the next look-up is due, at ``end`` at the latest (there the clock decides); None: nobody can be asked."""
    if not (is_askable(case) if askable is None else askable):
        return None
    seconds = case.policy.poll_seconds
    if expired or case.status is Status.EXPIRED:
        seconds = schedule.monitor_poll_seconds(seconds)
        last = None if end is None else end - timedelta(seconds=case.policy.timeout_seconds + 1)
        end = last if last is not None and last > case.now else end  # one at the end itself would come too late
    wait = schedule.poll_wait(seconds, quiet, case.jitter)
    if quiet and case.status is Status.PENDING:
        wait = max(wait, least_wait(case.policy))
    due = case.now + wait
    return due if end is None else min(due, max(end, case.now + timedelta(seconds=1)))


def provider_end(case: Case, evidence: Evidence) -> datetime | None:
    """Until when the provider waits for a payment, if it says so and that is still to come."""
    if not isinstance(evidence, Seen) or evidence.status not in WATCHED:
        return None
    told = evidence.expires_at
    return told if told is not None and case.now < told <= case.now + LONGEST_LIFETIME else None


def next_refund_look(case: Case, paid_at: datetime) -> datetime | None:
    """When the clock orders the next look for a refund of what was paid then; None: the watch is over, or off."""
    days = case.policy.refund_watch_days
    end = paid_at + timedelta(days=float(days))
    if days <= 0 or case.now >= end:  # SQLite's time is the host's, and may be before ``paid_at``
        return None
    return min(case.now + schedule.refund_wait((case.now - paid_at).total_seconds(), case.jitter), end)


def asked_wait(evidence: Evidence) -> float:
    """The seconds that the provider asked us to wait, bounded; 0 if it did not."""
    return schedule.bounded_wait(evidence.retry_after_seconds) if isinstance(evidence, RateLimited) else 0.0


def learnt(case: Case, evidence: Evidence) -> Changes:
    """What a look-up tells of the payment besides the status."""
    if not isinstance(evidence, Seen):
        return {}
    found: Changes = {}
    if evidence.paid_amount is not None:
        found["paid_amount"] = evidence.paid_amount
    if case.invoice.pay_amount is None and evidence.pay_amount is not None:
        found["pay_amount"] = evidence.pay_amount
    return found


def anomaly_of(paid: Decimal | None, asked: Decimal | None) -> Anomaly | None:
    """What is unusual about an amount that was paid. One that nobody told is taken for what was asked."""
    if paid is None or asked is None or paid == asked:
        return None
    return Anomaly.UNDERPAID if paid < asked else Anomaly.OVERPAID


@functools.lru_cache(1024)  # nearly always one of the policies' few values
def span(minutes: Decimal) -> timedelta:
    return timedelta(seconds=float(minutes * 60))


def usable(minutes: Decimal | None) -> Decimal | None:
    return minutes if minutes is not None and 0 < minutes <= MAX_LIFETIME_MINUTES else None


def earliest(*times: datetime | None) -> datetime | None:
    return min((time for time in times if time is not None), default=None)
