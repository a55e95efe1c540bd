"""A payment as its row has it."""

from __future__ import annotations

import dataclasses

from domain.payments import Payment
from domain.status import Status
from workers.store.rows import StoredRow

_FIELDS = [field.name for field in dataclasses.fields(Payment)]


def read_payment(row: StoredRow) -> Payment:
    """What the row says."""
    return Payment(**{name: getattr(row, name) for name in _FIELDS} | {"status": Status(row.status)})
