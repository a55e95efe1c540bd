"""The moves of an invoice: each with its changes, its event and its due times."""

from __future__ import annotations

from datetime import datetime

from domain.callbacks import CLAIMS, LOOK_AGAIN_SECONDS, is_news
from domain.decision import Agenda, Changes, Decision, Stage
from domain.lifecycle.case import (
    AFTER_PROVIDER_END,
    Case,
    end_of,
    is_askable,
    is_claimed,
    is_in_time,
    next_poll,
    next_refund_look,
    settled_by,
    span,
    unanswered,
)
from domain.sequence import next_sequence
from domain.status import FINAL, OPEN, SILENT, TRANSITIONS, Anomaly, Status

#: The changes by which an invoice forgets a callback, once it is confirmed or found to be wrong.
NOT_CALLED: Changes = {
    "called_status": None,
    "called_word": None,
    "called_amount": None,
    "called_currency": None,
    "called_only": None,
    "called_at": None,
    "called_answered_at": None,
    "called_looks": None,
}

#: Invoices in these are not looked up any more: a callback that is still unconfirmed is told at once (``dropped``).
_GIVEN_UP = frozenset({Status.CANCELLED, Status.FAILED})


class IllegalMoveError(Exception):
    """A bug in this package: a move that is not in TRANSITIONS. Nothing is written."""


def move(case: Case, target: Status, reason: str | None, changes: Changes, agenda: Agenda) -> Decision:
    if target not in TRANSITIONS[case.status]:
        raise IllegalMoveError(f"{case.status} -> {target}")
    told = target not in SILENT
    status = target.value
    fields: Changes = {**changes, "status": status, "reason": reason, "updated_at": case.now}
    if told:
        fields["sequence"] = next_sequence(case.invoice.sequence, case.epoch)
    if target not in OPEN:
        fields["first_open"] = 0
    called = changes.get("called_status", case.invoice.called_status)  # the one that is being judged, or the one before
    if called and (target in _GIVEN_UP or not is_news(target, Status(called))):
        fields |= NOT_CALLED
    elif called:
        agenda, fields = _still_called(case, agenda, fields)
    if case.invoice.fallbacks:  # made, in doubt or closed: no other account may make it any more
        fields["fallbacks"] = None
    return Decision("applied", fields, f"invoice.{status}" if told else None, dict(agenda))


def _still_called(case: Case, agenda: Agenda, fields: Changes) -> tuple[Agenda, Changes]:
    """A callback says more than this move: the look-up lags, so look again soon."""
    due, soon = agenda.get(Stage.CHECK), case.after(LOOK_AGAIN_SECONDS[0])
    if due is None or due <= soon:
        return agenda, fields
    return {**agenda, Stage.CHECK: soon}, {**fields, "called_looks": 1}


def close(case: Case, target: Status, reason: str, changes: Changes | None = None) -> Decision:
    return move(case, target, reason, changes or {}, nothing_due())


def pay(case: Case, word: str, changes: Changes) -> Decision:
    """Paid by the provider's word. Looked up now and then for as long as a refund may come."""
    agenda = nothing_due()
    if is_askable(case, changes.get("provider_ref")):
        agenda[Stage.CLOCK] = next_refund_look(case, case.now)
    return move(case, Status.PAID, word, changes, agenda)


def expire(
    case: Case,
    word: str = "",
    anomaly: Anomaly | None = None,
    paid: Changes | None = None,
    provider_ends: datetime | None = None,
    unheard: bool = False,
) -> Decision:
    """Expire. If the provider can be asked, watch for a late payment until the monitoring time ends, and at least as
    long as the provider itself waits (``provider_ends``). If the last look-up had no answer (``unheard``: an outage, or
    a restored backup), the monitoring time begins now, and ends only with an answer."""
    over = "the payment was never confirmed" if case.status is Status.CONFIRMING else "expires_at has passed"
    until = case.invoice.monitor_until or case.now + span(case.policy.monitor_minutes)
    if provider_ends is not None:
        until = max(until, provider_ends + AFTER_PROVIDER_END)
    if unheard:
        until = max(until, case.now + span(case.policy.monitor_minutes))
    anomaly = anomaly or (Anomaly.UNDERPAID if case.status is Status.PARTIALLY_PAID else None)
    changes: Changes = {"monitor_until": until, "anomaly": anomaly, "quiet_polls": 0, **(paid or {})}
    if unheard:
        changes |= unanswered(case)
    agenda = nothing_due()
    if is_claimed(case):  # look-ups may confirm it before the watch ends; the clock tells if none does
        until = max(until, settled_by(case)) if is_askable(case) else until
        agenda[Stage.CLOCK] = until
        changes["monitor_until"] = until
    if is_askable(case) and until > case.now:
        agenda |= {Stage.CHECK: next_poll(case, 0, until, expired=True), Stage.CLOCK: until}
    return move(case, Status.EXPIRED, word or over, changes, agenda)


def step(case: Case, target: Status, word: str, changes: Changes) -> Decision:
    """A step forward, or back from confirming, that the provider reports."""
    is_late = case.status is Status.EXPIRED and changes.get("anomaly") is not None
    if is_late and case.policy.late_payment == "hold" and not _was_told_in_time(case, target, changes):
        return _hold(case, target, word, changes)
    if target is Status.PAID:
        return pay(case, word, changes)
    if target not in OPEN:
        return close(case, target, word, changes)
    end = changes.get("expires_at") or case.invoice.expires_at or case.now
    if target is Status.CONFIRMING:
        end = case.invoice.monitor_until or max(end, case.now) + span(case.policy.monitor_minutes)
        changes["monitor_until"] = end
    return move(case, target, word, changes, {Stage.CHECK: next_poll(case, 0, end), Stage.CLOCK: end})


def _was_told_in_time(case: Case, target: Status, changes: Changes) -> bool:
    """Whether a callback told of this payment in the invoice's time: then only its confirmation is late."""
    invoice = case.invoice
    if changes.get("called_status") is not None:  # the callback that is being judged
        told, only, came = changes["called_status"], changes["called_only"], changes["called_at"]
    else:
        told, only, came = invoice.called_status, invoice.called_only, invoice.called_at
    if told is None or not only or came is None:
        return False
    return Status(told) in CLAIMS and not is_news(Status(told), target) and is_in_time(invoice, came)


def _hold(case: Case, target: Status, word: str, changes: Changes) -> Decision:
    """A late payment waits for a person's mark. The invoice stays expired, and watched until the payment is certain."""
    why = f"late_payment: {word}, after it expired"
    fields: Changes = {**changes, "anomaly": Anomaly.LATE}
    if case.invoice.anomaly != Anomaly.LATE:
        fields["updated_at"] = case.now
    if target is Status.PAID:
        return Decision("contradiction", {**fields, **NOT_CALLED}, note=why, agenda=nothing_due())
    quiet = case.invoice.quiet_polls + 1
    look = next_poll(case, quiet, end_of(case))
    return Decision("contradiction", fields | {"quiet_polls": quiet}, note=why, agenda={Stage.CHECK: look})


def give_back(agenda: Agenda) -> Decision:
    """Give up a callback that may be about another invoice, since nobody could be asked: a person says whose it is."""
    why = "nobody could be asked whether the callback is about this invoice: it waits in `invoices unmatched list`"
    forgotten: Changes = {**NOT_CALLED, "called_only": 0}  # 0: an answer about another invoice is no contradiction yet
    return Decision("noted", forgotten, note=why, agenda=agenda, gives_back=True)


def contradict(case: Case, *, agrees: bool = False) -> Decision:
    """Evidence that comes too late to change the invoice: kept as a contradiction, or ignored if it agrees."""
    agenda = at_rest(case) if case.status in FINAL else {}
    return Decision("ignored" if agrees else "contradiction", agenda=agenda)


def at_rest(case: Case) -> Agenda:
    """Nothing is due but the clock's own: look-ups for a refund, or telling of a claim that nobody confirmed."""
    agenda = nothing_due()
    if case.status is Status.PAID or is_claimed(case):
        del agenda[Stage.CLOCK]
    return agenda


def nothing_due() -> Agenda:
    return {Stage.CREATE: None, Stage.CHECK: None, Stage.CLOCK: None}
