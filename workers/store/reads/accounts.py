"""Accounts at providers: orders that wait for them, calls whose answers were lost, look-ups that bring nothing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, TextClause, and_, func, select, text

from domain.decision import Stage
from domain.evidence import FAILED_LOOK_UP, Created, CredentialsRefused
from domain.exact_json import read_json
from domain.lifecycle import REFUSED_REASONS
from domain.status import OPEN, UNMADE, Status
from workers.store.reads.made_at_provider import newest_made
from workers.store.rows import StoredRow
from workers.store.tables import AGENDA, EVIDENCE, INVOICE
from workers.store.tables.columns import UtcTime
from workers.store.tables.conditions import HELD_UP

#: How many of an account's newest invoices are searched for the one that was made last: they may be made in another
#: order than they came.
NEWEST = 20
#: Word for word the condition of an index, so that planners use it.
_HELD_UP = text(f"({HELD_UP})")


@dataclass(frozen=True, slots=True)
class Doubts:
    """An account's invoices in doubt: a call may have made them, and its answer is lost."""

    account: str
    invoices: int
    since: datetime  #: the oldest of them
    repeated: int  #: how many will be created again by themselves; the others wait for a person
    next_repeat_at: datetime | None
    reason: str | None  #: of the newest


@dataclass(frozen=True, slots=True)
class Refusals:
    """Orders of an account that is turned away. ``cause``: one of REFUSED_REASONS, either that its key is refused, or
    that something in front of the provider lets no call through."""

    account: str
    cause: str
    orders: int
    since: datetime
    next_probe_at: datetime | None
    said: str | None  #: the reason that was given last


@dataclass(frozen=True, slots=True)
class Waiting:
    """What waits at an account because its provider did not answer as it should, by the ``kind`` of the last evidence:
    ``Unreachable``, ``RateLimited``, … ``stage``: create (orders) or check (look-ups of open invoices)."""

    account: str
    stage: str
    kind: str
    invoices: int
    since: datetime
    next_try_at: datetime | None
    reason: str | None


def read_doubts(connection: Connection) -> list[Doubts]:
    """Accounts that have invoices in doubt."""
    create = and_(AGENDA.c.stage == Stage.CREATE.value, AGENDA.c.subject == INVOICE.c.id, AGENDA.c.due_at.is_not(None))
    in_doubt = INVOICE.c.status == Status.IN_DOUBT.value
    rows = connection.execute(
        select(
            INVOICE.c.provider_account,
            func.count(),
            func.min(INVOICE.c.updated_at, type_=UtcTime),  # it does not move while an invoice stays in doubt
            func.count(AGENDA.c.subject),
            func.min(AGENDA.c.due_at, type_=UtcTime),
        )
        .select_from(INVOICE.outerjoin(AGENDA, create))
        .where(in_doubt)
        .group_by(INVOICE.c.provider_account)
        .order_by(INVOICE.c.provider_account)
    ).all()
    newest = select(INVOICE.c.reason).where(in_doubt).order_by(INVOICE.c.id.desc()).limit(1)
    return [
        Doubts(
            account,
            invoices,
            since,
            repeated,
            next_repeat_at,
            connection.scalar(newest.where(INVOICE.c.provider_account == account)),
        )
        for account, invoices, since, repeated, next_repeat_at in rows
    ]


def read_refusals(connection: Connection) -> list[Refusals]:
    """Accounts that are turned away right now, by the workers' own probes."""
    create = and_(AGENDA.c.stage == Stage.CREATE.value, AGENDA.c.subject == INVOICE.c.id)
    cause = func.coalesce(INVOICE.c.reason, REFUSED_REASONS[CredentialsRefused])
    refused = INVOICE.c.status == Status.QUEUED.value, INVOICE.c.refused_since.is_not(None)
    rows = connection.execute(
        select(
            INVOICE.c.provider_account,
            cause,
            func.count(),
            func.min(INVOICE.c.refused_since, type_=UtcTime),
            func.min(AGENDA.c.due_at, type_=UtcTime),
            func.max(INVOICE.c.id),
        )
        .select_from(INVOICE.outerjoin(AGENDA, create))
        .where(*refused)
        .group_by(INVOICE.c.provider_account, cause)
        .order_by(INVOICE.c.provider_account, cause)
    ).all()
    return [
        Refusals(account, cause, orders, since, next_probe_at, _last_words(connection, newest))
        for account, cause, orders, since, next_probe_at, newest in rows
    ]


def read_waiting_creates(connection: Connection) -> list[Waiting]:
    """Orders whose last call was certainly not processed and will be repeated: unreachable, rate-limited, …"""
    queued = INVOICE.c.status == Status.QUEUED.value, INVOICE.c.create_tries != 0, INVOICE.c.refused_since.is_(None)
    return _waiting(connection, Stage.CREATE, _HELD_UP, *queued)


def read_failing_look_ups(connection: Connection) -> list[Waiting]:
    """Open invoices whose last look-up brought no usable answer: their payments would not be seen."""
    made = INVOICE.c.status.in_([status.value for status in OPEN if status not in UNMADE])
    return _waiting(connection, Stage.CHECK, _HELD_UP, made, INVOICE.c.evidence_digest.like(f"{FAILED_LOOK_UP}%"))


def read_unheard_watches(connection: Connection, account: str, since: datetime) -> tuple[int, datetime | None]:
    """How many of an account's invoices that expired before ``since`` are still watched because their look-ups get no
    answer, and when the first of them expired."""
    watched = INVOICE.join(AGENDA, and_(AGENDA.c.stage == Stage.CHECK.value, AGENDA.c.subject == INVOICE.c.id))
    unheard = _HELD_UP, INVOICE.c.status == Status.EXPIRED.value, INVOICE.c.evidence_digest.like(f"{FAILED_LOOK_UP}%")
    of_account = INVOICE.c.provider_account == account, INVOICE.c.updated_at < since
    found = select(func.count(), func.min(INVOICE.c.updated_at, type_=UtcTime)).select_from(watched)
    count, first = connection.execute(found.where(*unheard, *of_account)).one()
    return count, first


def read_open(connection: Connection, without: Collection[str]) -> Mapping[str, Mapping[str, int]]:
    """How many open invoices each account has in each status; ``without`` these accounts."""
    rows = connection.execute(
        select(INVOICE.c.provider_account, INVOICE.c.status, func.count())
        .where(INVOICE.c.status.in_([status.value for status in OPEN]), INVOICE.c.provider_account.not_in(without))
        .group_by(INVOICE.c.provider_account, INVOICE.c.status)
        .order_by(INVOICE.c.provider_account, INVOICE.c.status)
    )
    found: dict[str, dict[str, int]] = defaultdict(dict)
    for account, status, invoices in rows:
        found[account][status] = invoices
    return found


def _waiting(connection: Connection, stage: Stage, *conditions: ColumnElement[bool] | TextClause) -> list[Waiting]:
    """Invoices by account and by the kind of the last evidence that was kept of each."""
    every = EVIDENCE.alias("every")
    last = select(func.max(every.c.id)).where(every.c.invoice_id == INVOICE.c.id).scalar_subquery()
    row = and_(AGENDA.c.stage == stage.value, AGENDA.c.subject == INVOICE.c.id)
    key = INVOICE.c.provider_account, EVIDENCE.c.kind
    rows = connection.execute(
        select(
            *key,
            func.count(),
            func.min(EVIDENCE.c.at, type_=UtcTime),
            func.min(AGENDA.c.due_at, type_=UtcTime),
            func.max(EVIDENCE.c.id),
        )
        .select_from(INVOICE.join(EVIDENCE, EVIDENCE.c.id == last).outerjoin(AGENDA, row))
        .where(*conditions)
        .group_by(*key)
        .order_by(*key)
    ).all()
    return [
        Waiting(account, stage.value, kind, invoices, since, next_try_at, _reason(connection, evidence_id))
        for account, kind, invoices, since, next_try_at, evidence_id in rows
    ]


def _reason(connection: Connection, evidence_id: int) -> str | None:
    detail = connection.scalar(select(EVIDENCE.c.detail).where(EVIDENCE.c.id == evidence_id))
    reason = read_json(detail).get("reason") if detail else None
    return None if reason is None else str(reason)


def _last_words(connection: Connection, invoice_id: str) -> str | None:
    last = connection.scalar(select(func.max(EVIDENCE.c.id)).where(EVIDENCE.c.invoice_id == invoice_id))
    return None if last is None else _reason(connection, last)


def read_clocks_off(connection: Connection, accounts: Collection[str]) -> list[tuple[str, int, datetime]]:
    """Those of these accounts whose provider's clock was off when it last made an invoice, by how many seconds, and
    when that was."""
    found = []
    for account in sorted(accounts):
        made = _newest_made(connection, account)
        seconds = None if made is None else read_json(made.detail).get("clock_off_seconds")
        if made is not None and seconds is not None:
            found.append((account, int(seconds), made.at))
    return found


def _newest_made(connection: Connection, account: str) -> StoredRow | None:
    """What its provider last said when it made an invoice."""
    newest = newest_made(connection, account, NEWEST)
    told = select(EVIDENCE.c.id, EVIDENCE.c.detail, EVIDENCE.c.at).where(EVIDENCE.c.kind == Created.__name__)
    rows = connection.execute(told.where(EVIDENCE.c.invoice_id.in_(newest))).all()
    return max(rows, key=lambda row: row.id, default=None)
