"""What became of orders that were just sent: stored, refused, or not taken yet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import Connection, func, select

from domain.order import Order
from workers.store.intake import EXCERPT_CHARACTERS, with_keys
from workers.store.tables import REJECTED

Key = tuple[str, str]  #: account and idempotency key


@dataclass(frozen=True, slots=True)
class Verdict:
    """``stored`` with an invoice, or ``refused`` with a reason."""

    outcome: Literal["stored", "refused"]
    invoice_id: str | None = None
    reason: str | None = None


def newest_rejection(connection: Connection) -> int:
    """The number of the newest rejected message: rejections of what is sent from now on have higher ones."""
    return int(connection.execute(select(func.coalesce(func.max(REJECTED.c.id), 0))).scalar_one())


def read_verdicts(
    connection: Connection, orders: Mapping[Key, Order], sent: Mapping[str, Key], after: int
) -> dict[Key, Verdict]:
    """Verdicts on those of ``orders`` that the intake has handled.

    ``sent``: the JSON of each order's fields as it was sent; ``after``: ``newest_rejection`` before that.
    """
    rows = with_keys(connection, orders)
    found = {
        (row.account, row.idempotency_key): Verdict("stored", row.id)
        for row in rows
        if row.digest == orders[row.account, row.idempotency_key].digest()
    }
    beginnings = {text[:EXCERPT_CHARACTERS]: key for text, key in sent.items() if key not in found}
    refused = select(REJECTED.c.excerpt, REJECTED.c.reason).where(REJECTED.c.id > after).order_by(REJECTED.c.id)
    for row in connection.execute(refused) if beginnings else ():
        if row.excerpt in beginnings:
            found[beginnings[row.excerpt]] = Verdict("refused", reason=row.reason)
    return found
