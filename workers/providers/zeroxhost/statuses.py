"""0xhost's status words."""

from __future__ import annotations

from collections.abc import Mapping

from domain.status import Anomaly, Status

#: Words in lower case; case does not count. A word that is not here changes nothing.
STATUSES: Mapping[str, tuple[Status, Anomaly | None]] = {
    "new": (Status.PENDING, None),
    "waiting": (Status.PENDING, None),
    "paying": (Status.CONFIRMING, None),
    "paid": (Status.PAID, None),
    "expired": (Status.EXPIRED, None),
    "underpaid": (Status.EXPIRED, Anomaly.UNDERPAID),
    "refunded": (Status.REFUNDED, None),
}
#: A new row has this status already: it proves a payment only with a transaction's hash.
UNPROVEN = "paying"
