"""Judges callbacks, by the rules of ``domain/callbacks.py``."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from types import SimpleNamespace

from domain.asking import references_of
from domain.callbacks import CLAIMS, Called, is_news, objection, reading
from domain.decision import Agenda, Changes, Decision, InvoiceView, Stage
from domain.evidence import CalledBack
from domain.exact_json import write_json
from domain.lifecycle.case import LAST_LOOK_OF_GRACE, Case, is_askable, is_monitored, span
from domain.lifecycle.moves import NOT_CALLED, expire, move, step
from domain.status import FINAL, TRANSITIONS, UNMADE, Anomaly, Status

MAX_REFERENCES = 20  #: of one invoice; further ones are ignored
#: What a callback's own word may expire: no whole payment was seen.
UNPAID_YET = frozenset({Status.PENDING, Status.PARTIALLY_PAID})


def called_back(case: Case, evidence: CalledBack) -> Decision:
    """A callback is a reason to look, and a word that waits for a look-up to confirm it."""
    over = case.status is Status.EXPIRED and not is_monitored(case)
    if case.status in FINAL or (over and not _came_in_time(case, evidence)):
        return _called_back_late(case, evidence)
    changes = _add_reference(case, evidence.reference)
    remembered = case.invoice.called_status
    news = is_news(Status(remembered) if remembered else case.status, evidence.status) or _has_grown(case, evidence)
    if news:
        changes |= reading(evidence) | {"called_at": evidence.asked_at or case.now, "called_looks": 0}
    elif not changes:
        return Decision("ignored")
    if case.status is Status.QUEUED:  # the answer to its create is still to come
        return Decision("noted", changes)
    if is_askable(case, references=changes.get("asked_by")):
        agenda: Agenda = {Stage.CHECK: case.now}
        if over:  # it came in time but is judged late: watched again until it is settled
            end = case.now + span(case.policy.callback_grace_minutes) + LAST_LOOK_OF_GRACE
            changes["monitor_until"] = agenda[Stage.CLOCK] = end
        why = _objection(case, evidence) if news else None
        return Decision("noted" if why is None else "contradiction", changes, note=why, agenda=agenda)
    return alone(case, evidence, changes) if news else Decision("noted", changes)


def _has_grown(case: Case, evidence: CalledBack) -> bool:
    """Whether more of the amount is said to be paid than was known: the callbacks of each part have the same word."""
    invoice, told = case.invoice, evidence.paid_amount
    before = Status(invoice.called_status) if invoice.called_status else case.status
    if evidence.status is not Status.PARTIALLY_PAID or before is not Status.PARTIALLY_PAID or told is None:
        return False
    known = invoice.called_amount if invoice.called_status else invoice.paid_amount
    return told > (known or 0)


def _objection(case: Case, evidence: CalledBack) -> str | None:
    """Why a claim of a payment can't be about this invoice. The invoice is looked up all the same."""
    if evidence.status not in CLAIMS:
        return None
    return objection(case.invoice, _remembered(evidence), case.policy.underpaid_tolerance_percent)


def _remembered(evidence: CalledBack) -> Called:
    """A callback as an invoice remembers it."""
    return SimpleNamespace(**reading(evidence))


def _came_in_time(case: Case, evidence: CalledBack) -> bool:
    """Whether a claim of a payment came while the invoice was watched. It may be judged late, because a worker died or
    the database was away."""
    came, until = evidence.asked_at, case.invoice.monitor_until
    return came is not None and until is not None and came < until and evidence.status in CLAIMS


def _called_back_late(case: Case, evidence: CalledBack) -> Decision:
    told = evidence.status
    if case.status is Status.PAID and told is Status.REFUNDED and is_askable(case):
        return Decision("noted", agenda={Stage.CHECK: case.now})
    unpaid = case.status in {Status.CANCELLED, Status.FAILED, Status.EXPIRED}
    # So that a person can have the provider asked. If the order has several invoices, any may be meant: none gets it.
    changes = _add_reference(case, evidence.reference) if unpaid and evidence.only else Changes()
    denies = told in {Status.EXPIRED, Status.FAILED} and case.status is Status.PAID
    if denies or (unpaid and told in CLAIMS):
        return Decision("contradiction", changes, note=f"status: the callback says {evidence.word}")
    return Decision("noted" if changes else "ignored", changes)


def alone(case: Case, called: CalledBack | Called, changes: Changes, expires_at: datetime | None = None) -> Decision:
    """No look-up can confirm it, or none was answered in time: its own word counts, unless something objects.

    ``expires_at``: the invoice has just been made, with this expiry.
    """
    told = _remembered(called) if isinstance(called, CalledBack) else called
    changes = changes if expires_at is None else {**changes, "expires_at": expires_at}
    if not told.called_only or told.called_status is None:
        return _unmade_or_noted(case, changes, expires_at)
    target = Status(told.called_status)
    word = f"the callback says {told.called_word}; it stood alone, no look-up was to be had"
    why = objection(_due(case, changes), told, case.policy.underpaid_tolerance_percent)
    if target is Status.EXPIRED and case.status in UNPAID_YET and why is None:
        return expire(case, word, paid={**changes, **NOT_CALLED}, unheard=is_askable(case))
    if target not in CLAIMS:
        return _unmade_or_noted(case, changes, expires_at)
    if why is not None and expires_at is not None:  # made all the same; the callback is judged again (``dropped``)
        return _unmade_or_noted(case, {**changes, **NOT_CALLED}, expires_at)
    if why is not None:
        return Decision("contradiction", {**changes, **NOT_CALLED}, note=why)
    if target not in TRANSITIONS[case.status]:
        return _unmade_or_noted(case, changes, expires_at)
    paid: Changes = {} if told.called_amount is None else {"paid_amount": told.called_amount}
    anomaly = None if case.invoice.first_open else Anomaly.LATE
    if case.status in UNMADE and expires_at is None:
        changes |= _lifetime(case)
    decision = step(case, target, word, {**changes, "anomaly": anomaly, "quiet_polls": 0, **paid})
    return replace(decision, agenda={Stage.CREATE: None, **decision.agenda}) if case.status in UNMADE else decision


def _lifetime(case: Case) -> Changes:
    """Lifetime and expiry for an invoice whose create's answer was lost: no other answer may ever tell them."""
    minutes = case.invoice.lifetime_minutes or case.policy.lifetime_minutes
    return {"lifetime_minutes": minutes, "expires_at": case.now + span(minutes)}


def dropped(invoice: InvoiceView, decision: Decision) -> CalledBack | None:
    """The callback that a move forgets although it says more: it is judged again right after the move, so that somebody
    hears of it. None: there is no such callback. ``invoice``: as it was before the decision."""
    called, target = invoice.called_status, decision.changes.get("status")
    if not called or target is None or decision.changes.get("called_status", called) is not None:
        return None
    word = Status(called)
    if word not in CLAIMS or not is_news(Status(target), word):
        return None
    return CalledBack(
        status=word,
        word=invoice.called_word or called,
        paid_amount=invoice.called_amount,
        pay_currency=invoice.called_currency,
        only=bool(invoice.called_only),
        asked_at=invoice.called_at,
    )


def _due(case: Case, changes: Changes) -> SimpleNamespace:
    """What has to be paid, with the changes that the decision is about to write."""
    names = ("pay_amount", "pay_currency")
    return SimpleNamespace(**{name: changes.get(name, getattr(case.invoice, name)) for name in names})


def _unmade_or_noted(case: Case, changes: Changes, expires_at: datetime | None) -> Decision:
    if expires_at is None:
        return Decision("noted", changes)
    return move(case, Status.PENDING, None, changes, {Stage.CREATE: None, Stage.CHECK: None, Stage.CLOCK: expires_at})


def _add_reference(case: Case, reference: str | None) -> Changes:
    known = references_of(case.invoice)
    if reference is None or reference in known or len(known) >= MAX_REFERENCES:
        return {}
    return {"asked_by": write_json([*known, reference])}
