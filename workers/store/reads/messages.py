"""Messages that were rejected, and contradictions."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, func, select

from workers.store.reads.contradictions import settled, unsettled
from workers.store.tables import EVIDENCE, REJECTED
from workers.store.tables.columns import UtcTime

#: How many of the newest contradictions are looked at.
NEWEST_AGAINST = 10_000


@dataclass(frozen=True, slots=True)
class TurnedAway:
    """Messages that are listed as rejected and were not sent again."""

    messages: int
    first_at: datetime | None
    last_at: datetime | None
    last_reason: str | None


@dataclass(frozen=True, slots=True)
class Contradictions:
    """Invoices that a source contradicted."""

    invoices: int
    last_at: datetime | None
    last_invoice: str | None


def read_turned_away(connection: Connection) -> TurnedAway:
    """Those that wait for a person."""
    waiting = REJECTED.c.redriven_at.is_(None)
    times = func.min(REJECTED.c.at, type_=UtcTime), func.max(REJECTED.c.at, type_=UtcTime)
    count, first_at, last_at = connection.execute(select(func.count(), *times).where(waiting)).one()
    newest = select(REJECTED.c.reason).where(waiting).order_by(REJECTED.c.id.desc()).limit(1)
    return TurnedAway(count, first_at, last_at, connection.scalar(newest))


def read_contradictions(connection: Connection) -> Contradictions:
    """Those that no mark has settled since."""
    newest = unsettled(NEWEST_AGAINST).subquery()
    invoices, last_at, last_id = connection.execute(
        select(func.count(newest.c.invoice_id.distinct()), func.max(newest.c.at, type_=UtcTime), func.max(newest.c.id))
        .select_from(newest)
        .where(~settled(newest))
    ).one()
    last = connection.scalar(select(EVIDENCE.c.invoice_id).where(EVIDENCE.c.id == last_id)) if last_id else None
    return Contradictions(invoices, last_at, last)
