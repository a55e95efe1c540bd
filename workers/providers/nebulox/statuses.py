"""Nebulox's status words."""

from __future__ import annotations

from collections.abc import Mapping

from domain.status import Status

#: Words in lower case; case does not count. A word that is not here changes nothing.
STATUSES: Mapping[str, Status] = {
    "pending": Status.PENDING,
    "partial": Status.PARTIALLY_PAID,
    "completed": Status.PAID,
    "expired": Status.EXPIRED,
}
