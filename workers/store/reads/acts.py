"""What operators did, newest first or of one invoice."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from sqlalchemy import Connection, select

from domain.event import format_time
from domain.exact_json import read_json
from workers.store.database import Database
from workers.store.queries import newest_first
from workers.store.rows import StoredRow
from workers.store.seek import first_number
from workers.store.tables import ACT

#: Rows stand nearly in the order of their times: transactions side by side, and a clock that was set.
SLACK = timedelta(days=1)


def list_acts(
    database: Database,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    invoice_id: str | None = None,
    endpoint_id: str | None = None,
    by: str | None = None,
    limit: int = 50,
) -> Iterator[StoredRow]:
    """Acts with ``since`` ≤ time < ``until``, newest first; ``limit`` 0 means all of them."""
    query = select(ACT)
    if since is not None:
        first = database.read(first_number, ACT.c.id, ACT.c.at, since - SLACK)
        query = query.where(ACT.c.id >= first, ACT.c.at >= since)
    if until is not None:
        query = query.where(ACT.c.at < until)
    for column, wanted in ((ACT.c.invoice_id, invoice_id), (ACT.c.endpoint_id, endpoint_id), (ACT.c.by, by)):
        if wanted is not None:
            query = query.where(column == wanted)
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
