"""What an operator may mark an invoice as. Pure; the lifecycle decides.

An open invoice: paid, failed or cancelled. An expired one: paid, at any time. A paid one: refunded. No other mark
changes a final status: one with another status is a contradiction, one with the same status confirms it, also that an
expired one stays so. No mark changes a known amount either: one with another amount is a contradiction, too.
"""

from __future__ import annotations

from domain.status import FINAL, OPEN, Status

#: What may be marked at all.
MARKS = (Status.PAID, Status.FAILED, Status.REFUNDED, Status.CANCELLED, Status.EXPIRED)
#: How the note begins of a mark with the status that the invoice has already. It settles open contradictions.
CONFIRMED = "confirmed"
_OF_OPEN = frozenset({Status.PAID, Status.FAILED, Status.CANCELLED})


def may_mark(status: Status, target: Status) -> bool:
    """Whether an invoice in ``status`` may be marked as ``target``."""
    if status in OPEN:
        return target in _OF_OPEN
    return (status, target) in {(Status.EXPIRED, Status.PAID), (Status.PAID, Status.REFUNDED)}


def is_contradiction(status: Status, target: Status) -> bool:
    """Whether the mark disagrees with a final status."""
    return status in FINAL and target is not status
