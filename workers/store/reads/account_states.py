"""How each account at a provider does: what is under way, what waits, what it answered last. By index and bounded."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import Connection, Subquery, func, select

from domain.decision import Stage
from domain.evidence import RateLimited, Source
from domain.status import Status
from domain.work_report import Report
from workers.store.callbacks import newest_at
from workers.store.database import Database
from workers.store.reads.drift import open_drifts
from workers.store.reads.gauges import read_workers
from workers.store.reads.put_off import read_put_off_until, read_resting
from workers.store.rows import StoredRow
from workers.store.tables import AGENDA, CALLBACK, EVIDENCE, INVOICE
from workers.store.tables.columns import UtcTime

#: How many of the newest answers and callbacks are looked at, of all accounts together.
ANSWERS, CALLBACKS = 2000, 1000
#: How far orders that wait, and invoices in doubt, are counted.
COUNTED = 1000
#: What a provider says, asked or by itself.
ANSWERING = (Source.CREATE, Source.SEARCH, Source.LOOK_UP, Source.CALLBACK)


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountState:
    """``under_way``: calls at a time, on average of the last seconds, by all workers together; ``workers``: that work
    for it. ``waiting``: orders that are due and were not taken up. ``last``: when the newest kept answer of each source
    came; a source of which none is among the newest ANSWERS is left out."""

    name: str
    under_way: float = 0.0
    creates_per_second: float = 0.0
    look_ups_per_second: float = 0.0
    workers: int = 0
    waiting: int = 0
    doubts: int = 0
    put_off_until: datetime | None = None
    last: Mapping[str, datetime] = field(default_factory=dict)
    called_at: datetime | None = None
    drifts: int = 0

    def last_of(self, *sources: Source) -> datetime | None:
        """The newest of these."""
        return max((self.last[one] for one in sources if one in self.last), default=None)

    @property
    def answered_at(self) -> datetime | None:
        """When it last said anything that was news, asked or by itself."""
        return max(
            filter(None, (self.last_of(Source.CREATE, Source.SEARCH, Source.LOOK_UP), self.called_at)), default=None
        )


def read_account_states(connection: Connection, database: Database, names: Collection[str]) -> list[AccountState]:
    """Of these accounts, by name."""
    now = database.now(connection)
    reports = [one for one in read_workers(connection, now) if one is not None]
    last, limited, called = *_answers(connection), _callbacks(connection)
    put_off = read_resting(connection, now) | read_put_off_until(connection, now, limited & set(names))
    doubts, drifts = _doubts(connection), _drifts(connection)
    return [
        AccountState(
            name=name,
            under_way=_under_way(reports, name),
            creates_per_second=_rate(reports, Stage.CREATE, name),
            look_ups_per_second=_rate(reports, Stage.CHECK, name),
            workers=sum(1 for one in reports if (Stage.CREATE, name) in one.work or (Stage.CHECK, name) in one.work),
            waiting=_waiting(connection, name, now),
            doubts=doubts.get(name, 0),
            put_off_until=put_off.get(name),
            last=last.get(name, {}),
            called_at=called.get(name) or newest_at(connection, name),
            drifts=drifts.get(name, 0),
        )
        for name in sorted(names)
    ]


def _under_way(reports: Sequence[Report], name: str) -> float:
    """As many calls at a time as come a second, times how long each takes."""
    parts = ((Stage.CREATE, name), (Stage.CHECK, name))
    found = [one.work[part] for one in reports for part in parts if part in one.work]
    return sum(one.rows_per_second * one.call_seconds for one in found)


def _rate(reports: Sequence[Report], stage: Stage, name: str) -> float:
    return sum(one.work[stage, name].rows_per_second for one in reports if (stage, name) in one.work)


def _waiting(connection: Connection, name: str, now: datetime) -> int:
    due = select(AGENDA.c.subject).where(AGENDA.c.stage == Stage.CREATE.value, AGENDA.c.lane == name)
    found = due.where(AGENDA.c.due_at <= now).limit(COUNTED).subquery()
    return int(connection.execute(select(func.count()).select_from(found)).scalar_one())


def _answers(connection: Connection) -> tuple[Mapping[str, Mapping[str, datetime]], set[str]]:
    """By account and source, when the newest kept answer came, or came again; and who has said 429 among these."""
    newest = _newest(connection)
    at = func.max(func.coalesce(newest.c.last_at, newest.c.at), type_=UtcTime)
    key = INVOICE.c.provider_account, newest.c.source, newest.c.kind
    query = select(*key, at).join_from(newest, INVOICE, INVOICE.c.id == newest.c.invoice_id)
    found: dict[str, dict[str, datetime]] = defaultdict(dict)
    limited = set()
    for account, source, kind, came_at in connection.execute(query.group_by(*key)):
        if source is not None:
            found[account][source] = max(came_at, found[account].get(source, came_at))
        if kind == RateLimited.__name__:
            limited.add(account)
    return found, limited


def _newest(connection: Connection) -> Subquery:
    """The newest answers. By their numbers and by a limit too: a planner has to see how few they are."""
    last = connection.execute(select(func.coalesce(func.max(EVIDENCE.c.id), 0))).scalar_one()
    names = ("id", "at", "last_at", "repeats", "kind", "source", "verdict", "detail", "note", "invoice_id")
    query = select(*(EVIDENCE.c[name] for name in names)).where(EVIDENCE.c.id > last - ANSWERS)
    return query.order_by(EVIDENCE.c.id.desc()).limit(ANSWERS).subquery()


def _callbacks(connection: Connection) -> Mapping[str, datetime]:
    last = connection.execute(select(func.coalesce(func.max(CALLBACK.c.id), 0))).scalar_one()
    query = select(CALLBACK.c.account, CALLBACK.c.at).where(CALLBACK.c.id > last - CALLBACKS)
    newest = query.order_by(CALLBACK.c.id.desc()).limit(CALLBACKS).subquery()
    latest = select(newest.c.account, func.max(newest.c.at, type_=UtcTime)).group_by(newest.c.account)
    rows = connection.execute(latest)
    return {row[0]: row[1] for row in rows}


def _doubts(connection: Connection) -> Mapping[str, int]:
    in_doubt = select(INVOICE.c.provider_account).where(INVOICE.c.status == Status.IN_DOUBT.value)
    found = in_doubt.order_by(INVOICE.c.id).limit(COUNTED).subquery()
    counted = select(found.c.provider_account, func.count()).group_by(found.c.provider_account)
    return {row[0]: row[1] for row in connection.execute(counted)}


def _drifts(connection: Connection) -> Mapping[str, int]:
    counted: dict[str, int] = defaultdict(int)
    for row in open_drifts(connection):
        counted[row.account] += row.open
    return counted


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an account's answers of one kind came to, among the newest ANSWERS of all accounts."""

    source: str
    kind: str
    answers: int
    last_at: datetime


def read_outcomes(
    connection: Connection, account: str, accounts: Collection[str] | None, most: int
) -> tuple[list[Outcome], Sequence[StoredRow]]:
    """By source and kind, the most frequent first; and the newest rows, with their invoices' orders. Of invoices of
    ``accounts`` (None: of all) only."""
    newest = _newest(connection)
    told = newest.c.source.in_([source.value for source in ANSWERING])
    conditions = [INVOICE.c.id == newest.c.invoice_id, told, INVOICE.c.provider_account == account]
    if accounts is not None:
        conditions.append(INVOICE.c.account.in_(sorted(accounts)))
    answers = func.sum(func.coalesce(newest.c.repeats, 0) + 1)
    at = func.max(func.coalesce(newest.c.last_at, newest.c.at), type_=UtcTime)
    counted = select(newest.c.source, newest.c.kind, answers, at).where(*conditions)
    found = connection.execute(counted.group_by(newest.c.source, newest.c.kind)).all()
    rows = select(newest, INVOICE.c.order_id).where(*conditions).order_by(newest.c.id.desc()).limit(most)
    outcomes = [Outcome(source, kind, int(number), last_at) for source, kind, number, last_at in found]
    return sorted(outcomes, key=lambda one: -one.answers), connection.execute(rows).all()
