"""Events for people, each with its position: newest first, chosen by time, type and account."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, or_, select

from domain.exact_json import read_json
from workers.store.database import Database
from workers.store.outbox import NO_SEQUENCE, position_of_event
from workers.store.queries import newest_first
from workers.store.rows import Query, StoredRow
from workers.store.seek import earlier, first_number, later
from workers.store.tables import EVENT, INVOICE


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Events with ``since`` ≤ time < ``until``; no ``types``: of any type."""

    types: Collection[str] = ()
    account: str | None = None
    since: datetime | None = None
    until: datetime | None = None

    def takes(self, row: StoredRow) -> bool:
        """Whether an event is one of them. Its account is read from its body."""
        if self.types and row.type not in self.types:
            return False
        in_time = (self.since is None or row.created_at >= self.since) and (
            self.until is None or row.created_at < self.until
        )
        return in_time and (self.account is None or told_of(row)[0] == self.account)


def list_events(database: Database, wanted: Wanted, *, limit: int = 50) -> Iterator[StoredRow]:
    """Newest first; ``limit`` 0 means all of them."""
    query = select_events()
    if wanted.types:
        query = query.where(EVENT.c.type.in_(sorted(wanted.types)))
    if wanted.since is not None:
        first = database.read(first_number, EVENT.c.number, EVENT.c.created_at, earlier(wanted.since))
        query = query.where(EVENT.c.number >= first, EVENT.c.created_at >= wanted.since)
    if wanted.until is not None:
        last = database.read(first_number, EVENT.c.number, EVENT.c.created_at, later(wanted.until))
        query = query.where(EVENT.c.number < last, EVENT.c.created_at < wanted.until)
    if wanted.account is None:
        return newest_first(database, query, "number", limit)
    # An event of no invoice names its account only in its body.
    of_account = select(INVOICE.c.id).where(INVOICE.c.id == EVENT.c.invoice_id, INVOICE.c.account == wanted.account)
    query = query.where(or_(of_account.exists(), EVENT.c.sequence == NO_SEQUENCE))
    chosen = (row for row in newest_first(database, query, "number", 0) if row.sequence or wanted.takes(row))
    return itertools.islice(chosen, limit or None)


def select_events() -> Query:
    """Events with their ``position``, which may be None."""
    return select(EVENT, position_of_event().label("position"))


def placed_events_of(connection: Connection, invoice_id: str) -> Sequence[StoredRow]:
    """An invoice's events in their order."""
    query = select_events().where(EVENT.c.invoice_id == invoice_id)
    return connection.execute(query.order_by(EVENT.c.sequence)).all()


def told_of(row: StoredRow) -> tuple[str | None, str | None]:
    """The account and the order id in an event's body."""
    data = read_json(bytes(row.body)).get("data")
    data = data if isinstance(data, dict) else {}
    return data.get("account"), data.get("order_id")
