"""An order that came by message and was refused: what its shop is told by the event ``order.rejected``.

Of the message the event has only the ids: the shop has the order, and ``invoices rejected`` has the message.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, get_args

from domain.event import ORDER_REJECTED, notice
from domain.lengths import MAX_ACCOUNT, MAX_KEY, MAX_ORDER_ID

Kind = Literal["invalid", "conflict"]
KINDS: tuple[str, ...] = get_args(Kind)


@dataclass(frozen=True, slots=True)
class RefusedOrder:
    """Which order was refused, and why. ``order_id`` and ``idempotency_key`` None: the message had no usable one.

    ``kind``: ``invalid``, it can't be an order; ``conflict``, it contradicts ``existing_invoice``.
    """

    account: str
    order_id: str | None
    idempotency_key: str | None
    kind: Kind = "invalid"
    existing_invoice: str | None = None

    def told(self, event_id: str, reason: str, time: datetime) -> bytes:
        """The event's bytes."""
        data = {
            "account": self.account,
            "order_id": self.order_id,
            "idempotency_key": self.idempotency_key,
            "kind": self.kind,
            "reason": reason,
            "existing_invoice": self.existing_invoice,
        }
        subject = f"{self.account}/{self.idempotency_key or ''}"
        return notice(event_id, ORDER_REJECTED, time, data, subject=subject, account=self.account)


def read_refused(fields: object) -> RefusedOrder | None:
    """The order in an object with an order's fields; None if it names no account."""
    if not isinstance(fields, Mapping):
        return None
    account = _text(fields.get("account"), MAX_ACCOUNT)
    if account is None:
        return None
    order_id = _text(fields.get("order_id"), MAX_ORDER_ID)
    return RefusedOrder(account, order_id, _text(fields.get("idempotency_key"), MAX_KEY) or order_id)


def _text(value: object, longest: int) -> str | None:
    return value if isinstance(value, str) and 0 < len(value) <= longest and value.isprintable() else None
