"""An invoice's payments as `invoices show` prints them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from workers.cli.output import money
from workers.cli.text import shown

if TYPE_CHECKING:
    from domain.payments import Payment
    from workers.store.rows import StoredRow

NOT_KEPT = "no payment is kept: it was paid before payments were"


def payment_lines(row: StoredRow, payments: Sequence[Payment]) -> dict[str, object]:
    """The part of ``show --json`` about payments, and why a paid invoice may have none."""
    from domain.payments import payment_fields

    lines = [payment_fields(one, row.pay_currency, row.network) for one in payments]
    why = NOT_KEPT if not lines and row.status in {"paid", "refunded"} else None
    return {"payments": lines} if why is None else {"payments": lines, "payments_note": why}


def describe_payment(payment: Payment, asset: str | None) -> str:
    """A payment on one line. ``asset``: the invoice's, for a payment whose own no source has told."""
    amount = "" if payment.amount is None else f" {money(payment.amount, payment.asset or asset)}"
    untold = " (not told: what was asked for)" if amount and not payment.amount_told else ""
    named = payment.tx_hash or payment.reference
    became = f", made it {payment.settled_status} (by {payment.settled_by})" if payment.settled_status else ""
    by = f", {payment.status.value} by {payment.source}" + (f", {named}" if named else "")
    seen = f", seen {shown(payment.first_seen_at)}"
    again = f" to {shown(payment.last_seen_at)}" if payment.last_seen_at != payment.first_seen_at else ""
    return f"{payment.kind}{amount}{untold}{by}{became}{seen}{again}"
