"""Which of several answers about one invoice counts. Pure."""

from __future__ import annotations

from domain.evidence import Evidence, Seen
from domain.status import Status

_ORDER = (Status.EXPIRED, Status.PENDING, Status.PARTIALLY_PAID, Status.CONFIRMING, Status.PAID, Status.REFUNDED)


def weight(answer: Evidence) -> int:
    """How much an answer about one of several references tells: a payment most, no answer least."""
    if not isinstance(answer, Seen) or answer.status is None:
        return 0
    return _ORDER.index(answer.status) + 1 if answer.status in _ORDER else 1
