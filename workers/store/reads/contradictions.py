"""Contradictions: evidence against what is known of an invoice, which is kept and changes nothing."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import ColumnElement, FromClause, exists, literal_column, select

from domain.marks import CONFIRMED
from workers.store.database import Database
from workers.store.queries import newest_first
from workers.store.rows import Query, StoredRow
from workers.store.tables import EVIDENCE, INVOICE

AGAINST = "contradiction"


def settled(evidence: FromClause = EVIDENCE) -> ColumnElement[bool]:
    """The condition that an operator has marked the invoice since, or confirmed its status."""
    later = EVIDENCE.alias("later")
    decided = (later.c.verdict == "applied") | later.c.note.startswith(f"{CONFIRMED}:")
    marked = later.c.kind == "Marked", decided
    return exists().where(later.c.invoice_id == evidence.c.invoice_id, later.c.id > evidence.c.id, *marked)


def unsettled(most: int) -> Query:
    """The newest contradictions, by index. ``settled`` tells whether somebody has decided since."""
    # Written out, not bound: the planner has to see that the partial index of these rows will do.
    against: ColumnElement[str] = literal_column(f"'{AGAINST}'")
    return select(EVIDENCE).where(EVIDENCE.c.verdict == against).order_by(EVIDENCE.c.id.desc()).limit(most)


def list_contradictions(
    database: Database, *, limit: int = 50, settled_too: bool = True, account: str | None = None
) -> Iterator[StoredRow]:
    """Newest first, with the invoice's order and account; ``limit`` 0: all of them."""
    query = (
        select(EVIDENCE, INVOICE.c.order_id, INVOICE.c.account, INVOICE.c.status, settled().label("settled"))
        .join(INVOICE, INVOICE.c.id == EVIDENCE.c.invoice_id)
        .where(EVIDENCE.c.verdict == AGAINST)
    )
    if not settled_too:
        query = query.where(~settled())
    if account is not None:
        query = query.where(INVOICE.c.account == account)
    return newest_first(database, query, "id", limit)
