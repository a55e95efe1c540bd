"""What operators did, newest first or of one invoice."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, and_, exists, func, or_, select

from domain.event import format_time
from domain.exact_json import read_json
from workers.store.database import Database
from workers.store.queries import newest_first
from workers.store.rows import StoredRow
from workers.store.seek import earlier, first_number
from workers.store.tables import ACT, INVOICE

#: How many rows a page is looked for in: a filter that matches few must not read the whole table at once.
LOOKED_AT = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which acts: None means any. ``since`` ≤ time < ``until``."""

    by: str | None = None
    act: str | None = None
    invoice_id: str | None = None
    endpoint_id: str | None = None
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """Acts, newest first, each with the order of the invoice that it is about (``order_id``). ``before``: where the
    next page begins; None: there is none. There may be one even if this one is not full, or empty."""

    rows: Sequence[StoredRow]
    before: int | None


def page_of_acts(
    connection: Connection, wanted: Wanted, accounts: Collection[str] | None, *, before: int | None, limit: int
) -> Page:
    """Those with numbers below ``before``, as a caller that sees only these accounts (None: all) may see them."""
    last = connection.execute(select(func.coalesce(func.max(ACT.c.id), 0))).scalar_one()
    end = min(before or last + 1, last + 1)
    first = 0 if wanted.since is None else first_number(connection, ACT.c.id, ACT.c.at, earlier(wanted.since))
    begin = max(end - LOOKED_AT, first, 0)
    query = select(ACT, INVOICE.c.order_id).outerjoin(INVOICE, INVOICE.c.id == ACT.c.invoice_id)
    query = query.where(ACT.c.id < end, ACT.c.id >= begin, *_conditions(wanted))
    if accounts is not None:
        query = query.where(_within(connection, accounts))
    rows = connection.execute(query.order_by(ACT.c.id.desc()).limit(limit)).all()
    if len(rows) == limit:
        return Page(rows, rows[-1].id if rows[-1].id > max(first, 1) else None)
    return Page(rows, begin if begin > max(first, 1) else None)


def _conditions(wanted: Wanted) -> Iterator[ColumnElement[bool]]:
    if wanted.since is not None:
        yield ACT.c.at >= wanted.since
    if wanted.until is not None:
        yield ACT.c.at < wanted.until
    for name in ("by", "act", "invoice_id", "endpoint_id"):
        if (value := getattr(wanted, name)) is not None:
            yield ACT.c[name] == value


def _within(connection: Connection, accounts: Collection[str]) -> ColumnElement[bool]:
    """About these accounts, their invoices, or endpoints that are limited to them, and about nothing else."""
    names = sorted(accounts)
    theirs = exists().where(INVOICE.c.id == ACT.c.invoice_id, INVOICE.c.account.in_(names)).correlate(ACT)
    from workers.store.endpoints import list_endpoints  # what only lists all of them does without

    seen = [one.id for one in list_endpoints(connection) if one.is_within(accounts)]
    return and_(
        or_(ACT.c.account.is_not(None), ACT.c.invoice_id.is_not(None), ACT.c.endpoint_id.is_not(None)),
        or_(ACT.c.account.is_(None), ACT.c.account.in_(names)),
        or_(ACT.c.invoice_id.is_(None), theirs),
        or_(ACT.c.endpoint_id.is_(None), ACT.c.endpoint_id.in_(seen)),
    )


def list_acts(
    database: Database,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    invoice_id: str | None = None,
    endpoint_id: str | None = None,
    by: str | None = None,
    act: str | None = None,
    limit: int = 50,
) -> Iterator[StoredRow]:
    """Acts with ``since`` ≤ time < ``until``, newest first; ``limit`` 0 means all of them."""
    query = select(ACT)
    if since is not None:
        first = database.read(first_number, ACT.c.id, ACT.c.at, earlier(since))
        query = query.where(ACT.c.id >= first, ACT.c.at >= since)
    if until is not None:
        query = query.where(ACT.c.at < until)
    wanted = {"invoice_id": invoice_id, "endpoint_id": endpoint_id, "by": by, "act": act}
    query = query.where(*(ACT.c[name] == value for name, value in wanted.items() if value is not None))
    return newest_first(database, query, "id", limit)


def acts_of(connection: Connection, invoice_id: str) -> Sequence[StoredRow]:
    """What operators did with an invoice, oldest first."""
    return connection.execute(select(ACT).where(ACT.c.invoice_id == invoice_id).order_by(ACT.c.id)).all()


def act_fields(row: StoredRow) -> dict[str, object]:
    """An act as JSON."""
    about = {name: getattr(row, name) for name in ("invoice_id", "endpoint_id", "account", "callback_id", "message_id")}
    changed = {name: None if (text := getattr(row, name)) is None else read_json(text) for name in ("before", "after")}
    who = {"by": row.by, "origin": row.origin}
    return {"id": row.id, "at": format_time(row.at), **who, "act": row.act, **about, "reason": row.reason, **changed}
