"""Invoices for services: many by their ids in one statement, and pages of them."""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, Executable, select, tuple_

from workers.store.bulk import execute_keyed, keyed
from workers.store.database import Database
from workers.store.queries import earliest_id
from workers.store.rows import Query, StoredRow
from workers.store.seek import earlier
from workers.store.tables import INVOICE

#: Below and above every invoice's id, in any order of letters.
LOWEST_ID, HIGHEST_ID = "inv_", "inv_g"


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
    low = LOWEST_ID if since is None else earliest_id(earlier(since))
    query = walk_invoices(INVOICE.columns, low, HIGHEST_ID if before is None else before, status).limit(limit)
    if accounts is not None:
        query = query.where(INVOICE.c.account.in_(sorted(accounts)))
    if order_id is not None:
        query = query.where(INVOICE.c.order_id == order_id)
    if since is not None:
        query = query.where(INVOICE.c.created_at >= since)
    return connection.execute(query).all()


def walk_invoices(columns: Iterable[ColumnElement[object]], low: str, high: str, status: str | None = None) -> Query:
    """Invoices with ``low`` ≤ id < ``high``, of one status or of all, newest first: an index is walked from its end."""
    if status is None:
        query = select(*columns).where(INVOICE.c.id >= low, INVOICE.c.id < high)
        return query.order_by(INVOICE.c.id.desc())
    # Compared as pairs: of "status = … ORDER BY id" a planner may think that walking all ids finds them soon.
    pair = tuple_(INVOICE.c.status, INVOICE.c.id)
    query = select(*columns).where(pair >= tuple_(status, low), pair < tuple_(status, high))
    return query.order_by(INVOICE.c.status.desc(), INVOICE.c.id.desc())


@functools.cache
def _by_id(dialect: str) -> Executable:
    return select(INVOICE).where(keyed(dialect, INVOICE.c.id))


@functools.cache
def _sequences(dialect: str) -> Executable:
    return select(INVOICE.c.id, INVOICE.c.sequence).where(keyed(dialect, INVOICE.c.id))
