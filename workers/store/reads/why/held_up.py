"""What was said last of an invoice, and which open invoices their accounts hold up, in groups: by an index."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, Integer, Select, String, select, text

from domain.exact_json import read_json
from domain.lifecycle import REFUSED_REASONS
from domain.status import Status
from domain.why import Cause
from domain.why.facts import Said
from domain.why.held_up import cause_at_account
from workers.store.rows import StoredRow
from workers.store.tables import EVIDENCE
from workers.store.tables.columns import UtcTime
from workers.store.tables.invoices import HELD_UP

#: The same as ``cause_at_account`` goes by: what it took to make an invoice stays in its row once it is made.
NOW_HELD_UP = (
    "(status = 'queued' AND (refused_since IS NOT NULL OR create_tries <> 0)"
    " OR status = 'in_doubt' AND (refused_since IS NOT NULL OR create_tries > 0)"
    " OR (status NOT IN ('queued', 'in_doubt') OR called_status IS NOT NULL)"
    " AND coalesce(substr(evidence_digest, 1, 1), '') = '!')"
)
_REASONS = ", ".join(f"'{reason}'" for reason in sorted(REFUSED_REASONS.values()))
# What was said of many in the same words has the same digest: few groups, however many invoices.
_GROUPS = text(f"""
WITH held AS (
    SELECT id, provider_account, status, refused_since, create_tries, called_status, evidence_digest,
           CASE WHEN reason IN ({_REASONS}) THEN reason END AS reason FROM invoice
    WHERE status IN ('queued', 'in_doubt', 'pending', 'partially_paid', 'confirming') AND ({HELD_UP}) AND {NOW_HELD_UP}
    LIMIT :counted
)
SELECT provider_account, status, reason, min(refused_since) AS refused_since, min(create_tries) AS create_tries,
       min(called_status) AS called_status, evidence_digest, count(*) AS invoices, min(id) AS example
FROM held
GROUP BY provider_account, status, reason, evidence_digest, refused_since IS NULL, create_tries > 0, create_tries < 0,
         called_status IS NULL
ORDER BY count(*) DESC, min(id) LIMIT :groups
""").columns(  # noqa: S608 - conditions and words are our own
    provider_account=String,
    status=String,
    reason=String,
    refused_since=UtcTime,
    create_tries=Integer,
    called_status=String,
    evidence_digest=String,
    invoices=Integer,
    example=String,
)
#: So many invoices are counted, and so many groups looked at, the greatest.
COUNTED, GROUPS = 10_000, 100
_LAST = (EVIDENCE.c.source, EVIDENCE.c.kind, EVIDENCE.c.detail, EVIDENCE.c.at, EVIDENCE.c.repeats)


@dataclass(frozen=True, slots=True)
class Held:
    """Open invoices that an account holds up for the same cause."""

    account: str
    cause: Cause
    invoices: int
    since: datetime | None
    example: str


def read_held_up(connection: Connection) -> Iterator[Held]:
    """By what was said of the oldest of each group, last."""
    for group in connection.execute(_GROUPS, {"counted": COUNTED, "groups": GROUPS}):
        said = read_said(connection, group.example)
        cause = cause_at_account(group, said) or (Cause.IN_DOUBT if group.status == Status.IN_DOUBT else None)
        if cause is not None:
            since = group.refused_since or (None if said is None else said.at)
            yield Held(group.provider_account, cause, group.invoices, since, group.example)


def read_said(connection: Connection, invoice_id: str) -> Said | None:
    """The last evidence that was kept."""
    row = connection.execute(_last(invoice_id).limit(1)).one_or_none()
    return None if row is None else _said(row)


def _last(invoice_id: str) -> Select[tuple[object, ...]]:
    return select(*_LAST).where(EVIDENCE.c.invoice_id == invoice_id).order_by(EVIDENCE.c.id.desc())


def _said(row: StoredRow) -> Said:
    told = read_json(row.detail)
    reason = told.get("reason") if isinstance(told, dict) else None
    return Said(row.source, row.kind, None if reason is None else str(reason), row.at, row.repeats or 0)
