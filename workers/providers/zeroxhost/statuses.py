"""0xhost's status words."""

from __future__ import annotations

from collections.abc import Mapping

from domain.status import Anomaly, Status

#: Compared without case. A word that is not here changes nothing.
STATUSES: Mapping[str, tuple[Status, Anomaly | None]] = {
    "new": (Status.PENDING, None),
    "waiting": (Status.PENDING, None),
    "paying": (Status.CONFIRMING, None),
    "paid": (Status.PAID, None),
    "expired": (Status.EXPIRED, None),
    "underpaid": (Status.EXPIRED, Anomaly.UNDERPAID),
    "refunded": (Status.REFUNDED, None),
}
#: A fresh row says so already: without a transaction's hash it is no proof of a payment.
UNPROVEN = "paying"
