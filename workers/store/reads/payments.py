"""The payments of an invoice, and the invoices of a transaction."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, select

from domain.ledger import shown
from domain.payments import Payment, transaction_key
from workers.store.payments import read_payment
from workers.store.rows import StoredRow
from workers.store.tables import INVOICE, PAYMENT


def payments_of(connection: Connection, invoice_id: str) -> list[Payment]:
    """An invoice's payments and refunds, one row each, in the order they were seen."""
    query = select(PAYMENT).where(PAYMENT.c.invoice_id == invoice_id).order_by(PAYMENT.c.id)
    return shown([read_payment(row) for row in connection.execute(query)])


def invoices_of_transaction(connection: Connection, tx_hash: str) -> Sequence[StoredRow]:
    """The invoices that a transaction was seen for, newest first."""
    ids = select(PAYMENT.c.invoice_id).where(PAYMENT.c.key == transaction_key(tx_hash))
    return connection.execute(select(INVOICE).where(INVOICE.c.id.in_(ids)).order_by(INVOICE.c.id.desc())).all()
