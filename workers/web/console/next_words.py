"""What happens next with an invoice, in the few words that a row has room for. Pure.

A diamond stands only where nothing goes on by itself: what is tried again by itself needs nobody.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from domain.status import Status
from workers.store.reads.next_steps import Step, next_steps
from workers.store.reads.outlooks import Outlook
from workers.store.rows import StoredRow

_CREATES = "create", "search"


@dataclass(frozen=True, slots=True)
class Next:
    """``text``: in English, with ``{}`` for ``number``. ``at`` and ``said`` (others' words) stand after it."""

    text: str
    at: datetime | None = None
    said: str | None = None
    number: int = 0
    needs_person: bool = False
    is_over: bool = False
    today: bool = True  #: ``at`` is, by UTC


def next_of(outlook: Outlook) -> Next:
    """The one thing that a person wants to know."""
    found = _of_person(outlook) or _of_webhook(outlook) or _of_status(outlook)
    if found.at is not None and found.at.date() != outlook.now.date():
        return Next(found.text, found.at, found.said, found.number, found.needs_person, found.is_over, today=False)
    return found


def _of_person(outlook: Outlook) -> Next | None:
    if outlook.contradicted:
        return Next("contradicted: a person decides", needs_person=True)
    for step in next_steps(outlook):
        if step.at is None and step.command is not None:
            parked = step.command.endswith(" parked")
            return Next("parked: redrive it" if parked else _WAITS_FOR_PERSON[step.what], needs_person=True)
    return None


_WAITS_FOR_PERSON = {"create": "held: redrive it", "webhook": "webhook waits: endpoint disabled"}


def _of_webhook(outlook: Outlook) -> Next | None:
    """One that failed; what is on its way is nobody's concern."""
    failed = [row for row, _ in outlook.deliveries if row.tries and row.next_try_at is not None]
    if not failed:
        return None
    first = min(failed, key=lambda row: row.next_try_at)
    return Next("webhook try {} at", first.next_try_at, number=first.tries + 1)


def _of_status(outlook: Outlook) -> Next:
    invoice = outlook.invoice
    steps = {step.what: step for step in reversed(next_steps(outlook))}
    create = next((steps[what] for what in _CREATES if what in steps), None)
    match Status(invoice.status):
        case Status.QUEUED:
            return _of_queued(outlook, create)
        case Status.IN_DOUBT:
            return Next("searched at" if "search" in steps else "create repeats at", create.at if create else None)
        case Status.PENDING | Status.PARTIALLY_PAID | Status.CONFIRMING if invoice.called_status:
            return _look_up("a callback is checked at", "a callback is to be checked", steps)
        case Status.PENDING:
            return Next("payer has until", invoice.expires_at) if invoice.expires_at else Next("waits for the payer")
        case Status.PARTIALLY_PAID:
            return Next("expires at", invoice.expires_at) if invoice.expires_at else Next("waits for the rest")
        case Status.CONFIRMING:
            return _look_up("confirmations looked up at", "waits for confirmations", steps)
        case Status.EXPIRED if invoice.monitor_until is not None and invoice.monitor_until > outlook.now:
            return Next("watched until", invoice.monitor_until)
        case Status.FAILED | Status.CANCELLED if invoice.reason:
            return Next("final:", said=invoice.reason, is_over=True)
        case _:
            return Next("final", is_over=True)


def _look_up(timed: str, untimed: str, steps: dict[str, Step]) -> Next:
    look = steps.get("look-up")
    return Next(timed, look.at) if look is not None and look.at is not None else Next(untimed)


def _of_queued(outlook: Outlook, create: Step | None) -> Next:
    invoice, at = outlook.invoice, create.at if create else None
    if _is_in_hand(outlook):
        return Next("a worker is at it")
    if invoice.refused_since is not None:
        return Next("account turned away; again at", at)
    if invoice.create_tries < 0:
        return Next("provider asked to wait until", at)
    if invoice.create_tries > 0:
        return Next("provider not reached; again at", at)
    return Next("waits for its turn")


def _is_in_hand(outlook: Outlook) -> bool:
    return any(_is_leased(row, outlook) for row in outlook.agenda)


def _is_leased(row: StoredRow, outlook: Outlook) -> bool:
    return (
        row.stage == "create" and row.lease_token is not None and row.due_at is not None and row.due_at >= outlook.now
    )
