"""What was said against what is known of an invoice: kept as evidence, and it changed nothing."""

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
    """An operator has marked the invoice since, or confirmed what it is."""
    later = EVIDENCE.alias("later")
    decided = (later.c.verdict == "applied") | later.c.note.startswith(f"{CONFIRMED}:")
    marked = later.c.kind == "Marked", decided
    return exists().where(later.c.invoice_id == evidence.c.invoice_id, later.c.id > evidence.c.id, *marked)


def unsettled(most: int) -> Query:
    """The newest evidence against what is known, by index; whether somebody has decided since, ``settled`` tells."""
    # Written out, not bound: the index has these rows only, and a planner has to see that it will do.
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
