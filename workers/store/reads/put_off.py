"""Accounts whose provider has said 429 until a time that is still to come.

Workers report them, whatever the call was that met it. Rows tell the same of creates and of look-ups of invoices that
may still be paid, where no worker has reported yet.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import datetime, timedelta

from sqlalchemy import Connection, String, bindparam, select, text

from domain.evidence import RateLimited
from domain.schedule import bounded_wait
from domain.why.processes import GONE, WORKER
from domain.work_report import read_report
from workers.store.tables import PROCESS
from workers.store.tables.columns import UtcTime
from workers.store.tables.conditions import HELD_UP

#: Invoices, and workers, that are looked at.
MOST, MOST_WORKERS = 10_000, 1000

_PUT_OFF = (
    text(f"""
WITH held AS (
    SELECT id, provider_account FROM invoice
    WHERE status IN ('queued', 'in_doubt', 'pending', 'partially_paid', 'confirming', 'expired') AND ({HELD_UP})
      AND provider_account IN :accounts
    LIMIT :most
)
SELECT held.provider_account AS account, min(agenda.due_at) AS until
FROM held JOIN agenda ON agenda.subject = held.id AND agenda.stage IN ('create', 'check') AND agenda.due_at > :now
WHERE (SELECT kind FROM evidence WHERE evidence.invoice_id = held.id ORDER BY evidence.id DESC LIMIT 1) = :kind
GROUP BY held.provider_account
""")  # noqa: S608 - the condition is our own
    .bindparams(bindparam("accounts", expanding=True), bindparam("now", type_=UtcTime))
    .columns(account=String, until=UtcTime)
)


def find_put_off(connection: Connection, now: datetime, accounts: Collection[str]) -> set[str]:
    """Those of these accounts. A 429 holds up all that waits there: one row has the time, the others stay due."""
    return set(read_put_off_until(connection, now, accounts))


def read_put_off_until(connection: Connection, now: datetime, accounts: Collection[str]) -> dict[str, datetime]:
    """The same accounts, with the time that their provider named."""
    if not accounts:
        return {}
    given = {"accounts": sorted(accounts), "now": now, "kind": RateLimited.__name__, "most": MOST}
    by_rows = {row.account: row.until for row in connection.execute(_PUT_OFF, given)}
    resting = read_resting(connection, now)
    return by_rows | {account: until for account, until in resting.items() if account in accounts}


def read_resting(connection: Connection, now: datetime) -> dict[str, datetime]:
    """The accounts that a running worker lets rest, and until when it does."""
    found: dict[str, datetime] = {}
    for account, until in _reported(connection, now):
        if until > now:
            found[account] = max(until, found.get(account, until))
    return found


def _reported(connection: Connection, now: datetime) -> Iterator[tuple[str, datetime]]:
    lately = PROCESS.c.role == WORKER, PROCESS.c.seen_at.between(now - GONE, now + GONE), PROCESS.c.work.is_not(None)
    query = select(PROCESS.c.work, PROCESS.c.seen_at).where(*lately).limit(MOST_WORKERS)
    for work, seen_at in connection.execute(query):
        report = read_report(work)
        for account, seconds in report.rests.items() if report is not None else ():
            yield account, seen_at + timedelta(seconds=bounded_wait(seconds))
