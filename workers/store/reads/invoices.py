"""Invoices for services: many by their ids in one statement, and pages of them."""

from __future__ import annotations

import functools
from collections.abc import Collection, Sequence
from datetime import datetime

from sqlalchemy import Connection, Executable, select

from workers.store.bulk import execute_keyed, keyed
from workers.store.database import Database
from workers.store.queries import earliest_id
from workers.store.rows import StoredRow
from workers.store.seek import earlier
from workers.store.tables import INVOICE


def invoices_by_id(database: Database, ids: Collection[str]) -> dict[str, StoredRow]:
    """The invoices with these ids; unknown ones are left out."""
    with database.glancing() as connection:
        rows = execute_keyed(connection, _by_id, ("id",), [(one,) for one in sorted(set(ids))])
        return {row.id: row for row in rows.all()}


def sequences_of(database: Database, ids: Collection[str]) -> dict[str, int]:
    """The sequence of each of these invoices; unknown ones are left out."""
    with database.glancing() as connection:
        rows = execute_keyed(connection, _sequences, ("id",), [(one,) for one in sorted(set(ids))])
        return {row.id: row.sequence for row in rows.all()}


def page_of_invoices(
    connection: Connection,
    *,
    accounts: Collection[str] | None = None,
    order_id: str | None = None,
    status: str | None = None,
    since: datetime | None = None,
    before: str | None = None,
    limit: int,
) -> Sequence[StoredRow]:
    """Invoices, newest first, those with ids below ``before``; ``accounts`` None: of all."""
    query = select(INVOICE).order_by(INVOICE.c.id.desc()).limit(limit)
    if accounts is not None:
        query = query.where(INVOICE.c.account.in_(sorted(accounts)))
    for column, wanted in ((INVOICE.c.order_id, order_id), (INVOICE.c.status, status)):
        if wanted is not None:
            query = query.where(column == wanted)
    if since is not None:
        query = query.where(INVOICE.c.created_at >= since, INVOICE.c.id >= earliest_id(earlier(since)))
    if before is not None:
        query = query.where(INVOICE.c.id < before)
    return connection.execute(query).all()


@functools.cache
def _by_id(dialect: str) -> Executable:
    return select(INVOICE).where(keyed(dialect, INVOICE.c.id))


@functools.cache
def _sequences(dialect: str) -> Executable:
    return select(INVOICE.c.id, INVOICE.c.sequence).where(keyed(dialect, INVOICE.c.id))
