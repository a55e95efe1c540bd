"""Accounts whose provider has said 429 until a time that is still to come."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import Connection, String, bindparam, text

from domain.evidence import RateLimited
from workers.store.tables.columns import UtcTime
from workers.store.tables.conditions import HELD_UP

#: Invoices that are looked at.
MOST = 10_000

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
    return {row.account: row.until for row in connection.execute(_PUT_OFF, given)}
