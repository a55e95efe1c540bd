"""What was last said of an invoice, and the open invoices that their accounts hold up, in groups, by index."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, Integer, String, select, text

from domain.evidence import FAILED_LOOK_UP, CalledBack, RecheckRequested
from domain.exact_json import read_json
from domain.lifecycle import REFUSED_REASONS
from domain.status import Status
from domain.why import Cause
from domain.why.facts import Said
from domain.why.held_up import BY_KIND, cause_at_account
from workers.store.rows import StoredRow
from workers.store.tables import EVIDENCE
from workers.store.tables.columns import UtcTime
from workers.store.tables.conditions import HELD_UP

#: What ``cause_at_account`` goes by, in SQL. A made invoice's row still has what it took to make it, which no longer
#: counts.
NOW_HELD_UP = (
    "(status = 'queued' AND (refused_since IS NOT NULL OR create_tries <> 0)"
    " OR status = 'in_doubt' AND (refused_since IS NOT NULL OR create_tries > 0)"
    " OR (status NOT IN ('queued', 'in_doubt') OR called_status IS NOT NULL)"
    f" AND coalesce(substr(evidence_digest, 1, 1), '') = '{FAILED_LOOK_UP}')"
)
_REASONS = ", ".join(f"'{reason}'" for reason in sorted(REFUSED_REASONS.values()))
# What was said of many in the same words has the same digest: there are few groups, however many invoices.
_GROUPS = text(f"""
WITH held AS (
    SELECT id, account, provider_account, status, refused_since, create_tries, called_status, evidence_digest,
           CASE WHEN reason IN ({_REASONS}) THEN reason END AS reason FROM invoice
    WHERE status IN ('queued', 'in_doubt', 'pending', 'partially_paid', 'confirming') AND ({HELD_UP}) AND {NOW_HELD_UP}
    LIMIT :counted
)
SELECT account, provider_account, status, reason, min(refused_since) AS refused_since,
       min(create_tries) AS create_tries, min(called_status) AS called_status, evidence_digest, count(*) AS invoices,
       min(id) AS example
FROM held
GROUP BY account, provider_account, status, reason, evidence_digest, refused_since IS NULL, create_tries > 0,
         create_tries < 0, called_status IS NULL
ORDER BY count(*) DESC, min(id) LIMIT :groups
""").columns(  # noqa: S608 - conditions and words are our own
    account=String,
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
#: How many invoices are counted, and how many groups, the largest, are looked at.
COUNTED, GROUPS = 10_000, 100
#: How many of the newest rows are searched for the beginning of a run of failures.
RUN = 50
#: By default failing look-ups are closer together than this: after a longer gap, one in between was answered.
APART = timedelta(minutes=15)
#: Kept between look-ups, but no answers to them.
_BESIDE = frozenset({CalledBack.__name__, RecheckRequested.__name__})


@dataclass(frozen=True, slots=True)
class Held:
    """Open invoices that an account holds up for the same cause. ``owner``: the account that their orders name."""

    account: str
    owner: str
    cause: Cause
    invoices: int
    since: datetime | None
    example: str


def read_held_up(connection: Connection) -> Iterator[Held]:
    """The cause of each group is read from what was last said of its oldest invoice."""
    for group in connection.execute(_GROUPS, {"counted": COUNTED, "groups": GROUPS}):
        said = read_said(connection, group.example)
        cause = cause_at_account(group, said) or (Cause.IN_DOUBT if group.status == Status.IN_DOUBT else None)
        if cause is not None:
            since = group.refused_since or (None if said is None else said.at)
            yield Held(group.provider_account, group.account, cause, group.invoices, since, group.example)


def read_said(connection: Connection, invoice_id: str) -> Said | None:
    """The last evidence that was kept; of a run of failing calls, since its first, as far as rows tell."""
    told = EVIDENCE.c.kind, EVIDENCE.c.verdict, EVIDENCE.c.source, EVIDENCE.c.detail
    times = EVIDENCE.c.at, EVIDENCE.c.last_at, EVIDENCE.c.repeats
    query = select(*told, *times).where(EVIDENCE.c.invoice_id == invoice_id).order_by(EVIDENCE.c.id.desc())
    rows = connection.execute(query.limit(RUN)).all()
    if not rows:
        return None
    run = list(_in_a_row(rows))
    detail = read_json(rows[0].detail)
    reason = detail.get("reason") if isinstance(detail, dict) else None
    repeats = sum((row.repeats or 0) + 1 for row in run) - 1
    return Said(rows[0].source, rows[0].kind, None if reason is None else str(reason), run[-1].at, repeats)


def _in_a_row(rows: Sequence[StoredRow]) -> Iterator[StoredRow]:
    """The newest, and those before it that failed for the same cause. Two equal ones in a row mean that an answer came
    in between: otherwise they would be one row, counted twice."""
    last, after = rows[0], rows[0]
    yield last
    for row in rows[1:] if last.kind in BY_KIND else ():
        if row.kind not in _BESIDE:
            is_again = after is last and (row.kind, row.detail) == (last.kind, last.detail)
            is_same_cause = row.verdict == "noted" and BY_KIND.get(row.kind) is BY_KIND[last.kind]
            if is_again or not is_same_cause or last.at - (row.last_at or row.at) > APART:
                return
            yield row
            last = row
        after = row
