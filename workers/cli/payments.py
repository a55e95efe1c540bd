"""An invoice's payments as `invoices show` prints them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from domain.payments import Payment
    from workers.store.rows import StoredRow

NOT_KEPT = "no payment is kept: it was paid before payments were"


def payment_lines(row: StoredRow, payments: Sequence[Payment]) -> dict[str, object]:
    """The part of ``show --json`` that tells of payments, and why there is none of a paid invoice."""
    from domain.payments import payment_fields

    lines = [payment_fields(one, row.pay_currency, row.network) for one in payments]
    why = NOT_KEPT if not lines and row.status in {"paid", "refunded"} else None
    return {"payments": lines} if why is None else {"payments": lines, "payments_note": why}


def print_payments(row: StoredRow, payments: Sequence[Payment]) -> None:
    """A table of them; nothing where there is none to be expected."""
    from workers.cli.output import print_table

    told = payment_lines(row, payments)
    if "payments_note" in told:
        click.echo(f"{told['payments_note']}\n")
    if not payments:
        return
    columns = ("KIND", "AMOUNT", "TRANSACTION", "STATUS", "TOLD BY", "FIRST SEEN", "LAST SEEN", "BECAME", "BY")
    print_table(columns, (_line(one, row.pay_currency) for one in payments), empty="")
    click.echo()


def _line(payment: Payment, asset: str | None) -> tuple[object, ...]:
    from workers.cli.invoices import money

    amount = money(payment.amount, payment.asset or asset) if payment.amount is not None else ""
    return (
        payment.kind,
        amount if payment.amount_told or not amount else f"{amount} (not told)",
        payment.tx_hash or payment.reference or "",
        payment.status.value,
        payment.source,
        payment.first_seen_at,
        payment.last_seen_at,
        payment.settled_status or "nothing yet",
        payment.settled_by or "",
    )
