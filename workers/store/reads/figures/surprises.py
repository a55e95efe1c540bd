"""Invoices that went otherwise than planned of late: late, underpaid, overpaid, failed, refunded."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from sqlalchemy import Connection, Select, or_, select

from domain.status import Status
from workers.store.reads.figures.newest import newest
from workers.store.rows import StoredRow
from workers.store.tables import EVENT, INVOICE

SPAN = timedelta(hours=24)
#: How many of the newest changes are looked at, and how many of the newest failed and of the newest refunded invoices.
CHANGES, NEWEST = 3000, 100
#: How many are told.
MOST = 500
_ENDS = (Status.FAILED, Status.REFUNDED)


@dataclass(frozen=True, slots=True)
class Surprises:
    """Invoices as they stand, by their last change, the newest first. ``is_cut``: there may be more within SPAN."""

    since: datetime
    is_cut: bool
    rows: Sequence[StoredRow]

    def within(self, accounts: Collection[str]) -> Surprises:
        """Of these accounts only."""
        return replace(self, rows=[row for row in self.rows if row.account in accounts])


def read_surprises(connection: Connection, now: datetime) -> Surprises:
    """Among the newest changes, and by the index of statuses."""
    since = now - SPAN
    changes = newest(connection, EVENT.c.number, EVENT.c.created_at, since, CHANGES)
    odd = or_(INVOICE.c.anomaly.is_not(None), INVOICE.c.status.in_([status.value for status in _ENDS]))
    walked = select(EVENT.c.invoice_id).where(EVENT.c.number > changes.after).order_by(EVENT.c.number.desc())
    newest_changes = walked.limit(CHANGES).subquery()  # a planner has to see how few they are
    changed = select(newest_changes.c.invoice_id).distinct().subquery()
    recent = _invoices.join(changed, changed.c.invoice_id == INVOICE.c.id).where(odd, INVOICE.c.updated_at >= since)
    found = {row.id: row for row in connection.execute(recent)}
    for status in _ENDS:
        ended = _invoices.where(INVOICE.c.status == status.value).order_by(INVOICE.c.id.desc()).limit(NEWEST)
        found |= {row.id: row for row in connection.execute(ended) if row.updated_at >= since}
    rows = sorted(found.values(), key=lambda row: row.updated_at, reverse=True)
    return Surprises(since, changes.is_cut or len(rows) > MOST, rows[:MOST])


_COLUMNS = (
    *("id", "order_id", "account", "status", "anomaly", "reason", "updated_at", "expires_at", "monitor_until"),
    *("pay_amount", "paid_amount", "pay_currency"),
)
_invoices: Select[*tuple[object, ...]] = select(*(INVOICE.c[name] for name in _COLUMNS))
