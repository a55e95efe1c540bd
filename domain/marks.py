"""What an operator may mark an invoice as. Pure; the lifecycle decides.

An open invoice: paid, failed or cancelled. An expired one: paid, at any time. A paid one: refunded. Nothing else leaves
a final status: that money is said to have come for a cancelled or failed one is a contradiction.
"""

from __future__ import annotations

from decimal import Decimal

from domain.status import OPEN, Anomaly, Status

#: What may be marked at all.
MARKS = (Status.PAID, Status.FAILED, Status.REFUNDED, Status.CANCELLED)
_OF_OPEN = frozenset({Status.PAID, Status.FAILED, Status.CANCELLED})


def may_mark(status: Status, target: Status) -> bool:
    """Whether an invoice that is this may be marked as that."""
    if status in OPEN:
        return target in _OF_OPEN
    return (status, target) in {(Status.EXPIRED, Status.PAID), (Status.PAID, Status.REFUNDED)}


def is_contradiction(status: Status, target: Status) -> bool:
    """Money is said to have moved for an invoice that was closed without any."""
    return target in {Status.PAID, Status.REFUNDED} and status in {Status.CANCELLED, Status.FAILED}


def anomaly_of(paid: Decimal | None, asked: Decimal | None) -> Anomaly | None:
    """What is unusual about an amount that an operator tells."""
    if paid is None or asked is None or paid == asked:
        return None
    return Anomaly.UNDERPAID if paid < asked else Anomaly.OVERPAID
