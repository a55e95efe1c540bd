"""Which invoices an account's provider has made, oldest or newest first. Only people ask for them.

An index in that order would be one more that each change of every invoice is written to. Where an account makes many,
one of its own is soon met among all; where it makes few, the index of references has few of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, FromClause, func, select

from workers.store.rows import Query, StoredRow
from workers.store.tables import INVOICE

#: How many invoices of all accounts are looked through first.
WALKED = 20_000
#: How many references an account may have for them to be looked through.
NAMED = 50_000
_READ = INVOICE.c.id, INVOICE.c.created_at, INVOICE.c.provider_account, INVOICE.c.provider_ref


def first_made(connection: Connection, account: str, since: datetime, low: str) -> datetime | None:
    """When the first was taken in after ``since``; ``low``: ids below it are older."""
    found = _made(connection, account, 1, low, since)
    return found[0].created_at if found else None


def newest_made(connection: Connection, account: str, most: int) -> list[str]:
    """The ids of the newest, up to ``most``."""
    return [row.id for row in _made(connection, account, most)]


def _made(
    connection: Connection, account: str, most: int, low: str | None = None, since: datetime | None = None
) -> Sequence[StoredRow]:
    """Oldest first from ``low`` on, or newest first of all."""
    walked = select(*_READ) if low is None else select(*_READ).where(INVOICE.c.id >= low)
    walked = walked.order_by(INVOICE.c.id.desc() if low is None else INVOICE.c.id)
    ours = INVOICE.c.provider_account == account, INVOICE.c.provider_ref.is_not(None)
    named = select(*_READ).where(*ours).order_by(INVOICE.c.provider_ref).limit(NAMED).subquery()
    next_ones = walked.limit(WALKED).subquery()

    def among(rows: FromClause) -> Sequence[StoredRow]:
        return connection.execute(_of(rows, account, low, since).limit(most)).all()

    if len(found := among(next_ones)) == most or _count(connection, next_ones) < WALKED:
        return found
    return among(named) if _count(connection, named) < NAMED else among(INVOICE)


def _of(rows: FromClause, account: str, low: str | None, since: datetime | None) -> Query:
    conditions: list[ColumnElement[bool]] = [rows.c.provider_account == account, rows.c.provider_ref.is_not(None)]
    if low is not None:
        conditions.append(rows.c.id >= low)
    if since is not None:
        conditions.append(rows.c.created_at > since)
    order = rows.c.id.desc() if low is None else rows.c.id
    return select(rows.c.id, rows.c.created_at).where(*conditions).order_by(order)


def _count(connection: Connection, rows: FromClause) -> int:
    return int(connection.execute(select(func.count()).select_from(rows)).scalar_one())
