"""Invoices for services: many by their ids in one statement, and pages of them."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import Connection, select

from workers.store.rows import StoredRow
from workers.store.tables import INVOICE


def invoices_by_id(connection: Connection, ids: Collection[str]) -> dict[str, StoredRow]:
    """The invoices with these ids; unknown ones are left out."""
    rows = connection.execute(select(INVOICE).where(INVOICE.c.id.in_(sorted(set(ids))))).all()
    return {row.id: row for row in rows}
