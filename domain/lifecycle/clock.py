"""Judges the clock's evidence: a due time of the invoice has passed."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from domain.decision import Agenda, Changes, Decision, Stage
from domain.evidence import ClockRanOut, CredentialsRefused
from domain.lifecycle.case import (
    LAST_LOOK_OF_GRACE,
    LAST_LOOKS,
    Case,
    earliest,
    end_of,
    is_askable,
    is_claimed,
    is_unheard,
    may_be_anothers,
    next_refund_look,
    past_create_before,
    settled_by,
    span,
    unanswered,
)
from domain.lifecycle.creates import REFUSED_REASONS
from domain.lifecycle.moves import NOT_CALLED, close, expire, give_back, nothing_due
from domain.schedule import monitor_poll_seconds, slowest_poll
from domain.status import FINAL, Status

#: For how long after the expiry a watch may go on if no look-up is answered.
LONGEST_UNHEARD = timedelta(days=30)
#: If the clock comes later than this, nobody was at work meanwhile: look-ups were not made either.
STOOD_STILL = timedelta(minutes=1)


def clock_ran_out(case: Case, evidence: ClockRanOut) -> Decision:
    if case.status is Status.QUEUED:
        return _queued_ran_out(case, in_call=evidence.in_call)
    if case.status is Status.PAID:
        return _look_for_refund(case)
    if case.status in FINAL or case.status is Status.IN_DOUBT:
        return Decision("ignored", agenda={Stage.CLOCK: None})
    end = end_of(case)
    if end is None or end > case.now:
        return Decision("ignored", agenda={Stage.CLOCK: end})
    if case.status is Status.EXPIRED:
        return _settle_claim(case, end) if is_claimed(case) else _end_watch(case, end)
    if is_askable(case):
        asked = case.invoice.final_look_at
        patience = _patience(case)
        if asked is None or asked < end or asked > case.now:  # in the future: the clock has been set back since
            agenda: Agenda = {Stage.CHECK: case.now, Stage.CLOCK: case.now + patience}
            return Decision("noted", {"final_look_at": case.now}, agenda=agenda)
        if asked + patience > case.now:
            return Decision("ignored", agenda={Stage.CLOCK: asked + patience})
    return expire(case, unheard=is_askable(case))


def _settle_claim(case: Case, end: datetime) -> Decision:
    """The watch of an expired invoice is over, and no look-up has confirmed the payment that a callback claims."""
    until, changes = settled_by(case), Changes()
    if may_be_anothers(case) and case.now - end > STOOD_STILL:  # nobody was at work to look it up
        until, changes = max(until, case.now + max(LAST_LOOK_OF_GRACE, _patience(case))), unanswered(case)
    if until > case.now and is_askable(case):  # look-ups have not had the time yet to confirm it
        looked: Changes = {**changes, "monitor_until": until}
        return Decision("noted", looked, agenda={Stage.CHECK: case.now, Stage.CLOCK: until})
    if may_be_anothers(case):
        ended = _end_watch(case, end)
        given = give_back(ended.agenda)
        return replace(given, changes={**ended.changes, **given.changes})
    why = f"status: a callback said {case.invoice.called_word}, and no look-up confirmed it"
    return Decision("contradiction", {**NOT_CALLED}, note=why, agenda=nothing_due())


def _end_watch(case: Case, end: datetime) -> Decision:
    """End the watch for a late payment once a look-up has been answered. Until then look-ups go on, up to
    LONGEST_UNHEARD; then a note says that nobody knows."""
    if not is_askable(case) or not (is_unheard(case) or case.now - end > STOOD_STILL):
        return Decision("ignored", agenda=nothing_due())
    longest = case.invoice.updated_at + LONGEST_UNHEARD
    if case.now >= longest:
        why = (
            "unwatched: no look-up was answered until the watch for a late payment ended: `invoices recheck` asks again"
        )
        return Decision("noted", note=why, agenda=nothing_due())
    until = case.now + max(slowest_poll(monitor_poll_seconds(case.policy.poll_seconds)), _patience(case))
    changes: Changes = {"monitor_until": until, **unanswered(case)}
    return Decision("noted", changes, agenda={Stage.CHECK: case.now, Stage.CLOCK: until})


def _patience(case: Case) -> timedelta:
    """How long to wait for a look-up that is asked for now."""
    return timedelta(seconds=case.policy.timeout_seconds * LAST_LOOKS.get(case.status, 1))


def _look_for_refund(case: Case) -> Decision:
    """Paid invoices wait for their next look-up on the clock's lane, which costs nothing, not among the look-ups."""
    if not is_askable(case) or case.policy.refund_watch_days <= 0:
        return Decision("ignored", agenda={Stage.CLOCK: None})
    agenda: Agenda = {Stage.CHECK: case.now, Stage.CLOCK: next_refund_look(case, case.invoice.updated_at)}
    return Decision("ignored", agenda=agenda)


def _queued_ran_out(case: Case, *, in_call: bool) -> Decision:
    refused, hold = case.invoice.refused_since, span(case.policy.hold_refused_minutes)
    hold_end = refused + hold if refused else None
    due = earliest(case.invoice.create_before, hold_end)
    if due is None or due > case.now:
        return Decision("ignored", agenda={Stage.CLOCK: due})
    if in_call:  # the answer decides; come again soon
        return Decision("ignored", agenda={Stage.CLOCK: case.now + timedelta(seconds=1)})
    # A queued order's reason is what it waits for. Older releases kept none: those orders waited for their key.
    waited = case.invoice.reason or REFUSED_REASONS[CredentialsRefused]
    return close(case, Status.FAILED, "too_late" if past_create_before(case) else waited)
