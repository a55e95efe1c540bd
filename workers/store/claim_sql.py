"""The statements that claim due rows of the agenda, made once for each database."""

from __future__ import annotations

from sqlalchemy import DateTime, Executable, Integer, Interval, String, TextClause, bindparam, column, select, text

from workers.store.rows import BINARY
from workers.store.tables import INVOICE
from workers.store.tables.columns import UtcTime

# MATERIALIZED: a LIMIT in a plain subquery may be evaluated again, which leases more rows than the limit.
# PostgreSQL's now() is the start of the transaction, that is of this statement; clock_timestamp() is volatile and can't
# be an index bound. PostgreSQL finds the picked rows again by their place (ctid; a partitioned table would need
# tableoid too): they are locked and stay there, while among millions of rows a look-up of each would be a fifth of the
# cost. A row that somebody changed between this statement's start and its lock is not found so; the next claim takes
# it, after the next doorbell or sweep.
_CLAIM = """
WITH picked AS MATERIALIZED (
    SELECT {key}, subject AS picked_subject, lease_token AS lost_token FROM agenda
    WHERE stage = :stage AND lane = :lane AND due_at <= {now}{free}
    ORDER BY due_at LIMIT :limit {lock}
)
UPDATE agenda SET lease_token = :token, due_at = {lease_end}, claims = claims + 1
WHERE {chosen}
RETURNING subject, claims, {now} AS claimed_at{lost}
"""
#: Leaves out what somebody holds, even if the lease seems to be over.
_FREE = " AND lease_token IS NULL"


def _claim_postgresql(free: str) -> TextClause:
    return text(
        _CLAIM.format(
            key="ctid",
            now="now()",
            lease_end="now() + :lease",
            lock="FOR UPDATE SKIP LOCKED",
            chosen="ctid = ANY (ARRAY(SELECT ctid FROM picked))",
            free=free,
            # Looked for only where a holder was lost.
            lost=", CASE WHEN claims > 1"
            " THEN (SELECT lost_token FROM picked WHERE picked_subject = subject) END AS lost_token",
        )
    ).bindparams(bindparam("lease", type_=Interval))


def _claim_invoices_postgresql(free: str) -> Executable:
    """With the invoices in the same statement, which saves a round trip. An invoice is as current as its agenda row:
    whoever changes it has that row locked, or has moved it, and then it is not claimed."""
    columns = (
        column("subject", String),
        column("claims", Integer),
        column("claimed_at", DateTime(timezone=True)),
        column("lost_token", String),
    )
    claimed = _claim_postgresql(free).columns(*columns).cte("claimed")
    found = select(claimed, INVOICE).outerjoin_from(claimed, INVOICE, INVOICE.c.id == claimed.c.subject)
    return found.execution_options(**{BINARY: True})


def _claim_sqlite(free: str) -> Executable:
    return (
        text(
            _CLAIM.format(
                key="subject",
                now=":now",
                lease_end=":lease_end",
                lock="",
                chosen="stage = :stage AND subject IN (SELECT subject FROM picked)",
                free=free,
                lost="",
            )
        )
        .bindparams(bindparam("now", type_=UtcTime), bindparam("lease_end", type_=UtcTime))
        .columns(subject=String, claimed_at=UtcTime)
    )


CLAIM_POSTGRESQL = _claim_postgresql("")
CLAIM_INVOICES_POSTGRESQL = _claim_invoices_postgresql("")
CLAIM_SQLITE = _claim_sqlite("")
CLAIM_FREE_POSTGRESQL = _claim_postgresql(_FREE)
CLAIM_FREE_INVOICES_POSTGRESQL = _claim_invoices_postgresql(_FREE)
CLAIM_FREE_SQLITE = _claim_sqlite(_FREE)

#: Run before a claim on SQLite, whose RETURNING does not see the values from before.
LOST_SQLITE = text("""
SELECT subject, lease_token FROM agenda
WHERE stage = :stage AND lane = :lane AND due_at <= :now AND claims > 0 ORDER BY due_at LIMIT :limit
""").bindparams(bindparam("now", type_=UtcTime))
