"""What an operator may mark an invoice as. Pure; the lifecycle decides.

An open invoice: paid, failed or cancelled. An expired one: paid, at any time. A paid one: refunded. Nothing else leaves
a final status: a mark against one is a contradiction, and a mark that says the same confirms it. An amount that is
known is changed by no mark: one that says another is a contradiction, too.
"""

from __future__ import annotations

from decimal import Decimal

from domain.status import FINAL, OPEN, Anomaly, Status

#: What may be marked at all.
MARKS = (Status.PAID, Status.FAILED, Status.REFUNDED, Status.CANCELLED)
#: How the note of a mark begins that says what an invoice is already: what was said against it is settled.
CONFIRMED = "confirmed"
_OF_OPEN = frozenset({Status.PAID, Status.FAILED, Status.CANCELLED})


def may_mark(status: Status, target: Status) -> bool:
    """Whether an invoice that is this may be marked as that."""
    if status in OPEN:
        return target in _OF_OPEN
    return (status, target) in {(Status.EXPIRED, Status.PAID), (Status.PAID, Status.REFUNDED)}


def is_contradiction(status: Status, target: Status) -> bool:
    """Whether the mark says something else than what is final."""
    return status in FINAL and target is not status


def anomaly_of(paid: Decimal | None, asked: Decimal | None) -> Anomaly | None:
    """What is unusual about an amount that an operator tells."""
    if paid is None or asked is None or paid == asked:
        return None
    return Anomaly.UNDERPAID if paid < asked else Anomaly.OVERPAID
