"""What is new in providers' answers: kept once, told once, and counted by invoice up to a bound.

It is learnt in a transaction of its own before the evidence it came with is judged: after a crash in between, the
evidence comes again. Whatever fails here never stops that evidence.
"""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

import structlog
from sqlalchemy import Connection, Executable, func, select

from domain.decision import Stage
from domain.drift import MOST_INVOICES, Novelty, more_of
from domain.event import PROVIDER_DRIFT, new_id
from workers.store.agenda import PUBLISH_LANE, Lane
from workers.store.bulk import SHORT_WAIT, execute_keyed, execute_numbered, insert_rows, keyed, numbered
from workers.store.database import ANY_FAILURE, Database
from workers.store.outbox import NewEvent, add_events
from workers.store.rows import StoredRow
from workers.store.tables import DRIFT, DRIFT_INVOICE

#: New things of an account that are kept and told until an operator accepts some. One more event says that there are
#: others.
MOST_OPEN = 100
#: An account that had too many is looked at again after this.
FULL_SECONDS = 60.0

#: What is new, and the invoice whose answer has it, if that is known.
News = tuple[Novelty, str | None]
_KEY = ("account", "kind", "call", "field", "value")

log = structlog.get_logger()


class Drifts:
    """Remembers what this process has learnt, so that only what is new costs SQL. Safe to share between threads."""

    def __init__(self, database: Database, ring: Callable[[set[Lane]], None]) -> None:
        self._database = database
        self._ring = ring
        self._lock = threading.Lock()
        self._counted: dict[Novelty, set[str]] = {}  #: known ones that are counted, with the invoices they came with
        self._settled: set[Novelty] = set()  #: known ones that are no longer counted
        self._full: dict[str, float] = {}  #: accounts with too many, and until when that is assumed

    def unlearnt(self, news: Sequence[News]) -> list[News]:
        """What of this is yet to be learnt."""
        with self._lock:
            return [one for one in dict.fromkeys(news) if self._is_unlearnt(*one)]

    def _is_unlearnt(self, novelty: Novelty, invoice_id: str | None) -> bool:
        if novelty in self._settled:
            return False
        counted = self._counted.get(novelty)
        if counted is not None:
            return invoice_id is not None and invoice_id not in counted
        return time.monotonic() >= self._full.get(novelty.account, 0.0)

    def learn(self, news: Sequence[News]) -> None:
        """Keep and tell what of this is new. Never raises an error of the database: the answers count whether this
        works or not."""
        unlearnt = self.unlearnt(news)
        if not unlearnt:
            return
        try:
            with self._database.transaction() as connection:
                known, told, endpoints = _learn(connection, self._database, unlearnt)
                full = _counts(connection, known)
        except ANY_FAILURE as error:
            log.warning("drift.unlearnt", news=len(unlearnt), error=type(error).__name__)
            return
        self._remember(unlearnt, known, full)
        for novelty in told:
            log.warning("provider.drift", account=novelty.account, what=novelty.sentence)
        if told:
            self._ring({(Stage.PUBLISH, PUBLISH_LANE)} | {(Stage.DELIVER, endpoint) for endpoint in endpoints})

    def _remember(self, learnt: Sequence[News], known: Mapping[Novelty, StoredRow], full: set[int]) -> None:
        again_at = time.monotonic() + FULL_SECONDS
        with self._lock:
            for novelty, invoice_id in learnt:
                row = known.get(novelty)
                if row is None:
                    self._full[novelty.account] = again_at
                elif row.accepted_at is not None or row.id in full:
                    self._settled.add(novelty)
                    self._counted.pop(novelty, None)
                else:
                    self._counted.setdefault(novelty, set()).update([invoice_id] if invoice_id else [])


def _learn(
    connection: Connection, database: Database, news: Sequence[News]
) -> tuple[dict[Novelty, StoredRow], list[Novelty], set[str]]:
    """What is known now, with its rows; what was new and is told; the endpoints that are sent it. What is beyond an
    account's bound stays unknown."""
    if database.is_postgresql:
        connection.execute(SHORT_WAIT)  # somebody else may be learning the same
    now = database.now(connection)
    first: dict[Novelty, str | None] = {}
    for novelty, invoice_id in news:
        first.setdefault(novelty, invoice_id)
    known = _known(connection, list(first))
    told, endpoints = _keep_new(connection, [(new, first[new]) for new in sorted(first) if new not in known], now)
    known = known | _known(connection, [new for new in first if new not in known])
    _count(connection, known, news, now)
    return known, told, endpoints


def _keep_new(connection: Connection, news: Sequence[News], now: datetime) -> tuple[list[Novelty], set[str]]:
    """Write those that there is room for, and their events. Returns what was written, and the endpoints to be told."""
    if not news:
        return [], set()
    accounts = {new.account for new, _ in news}
    bounded = _bounded(news, _room(connection, accounts), _mores_accepted(connection, accounts))
    rows = [_row(new, now) for new in sorted(bounded)]
    written = insert_rows(connection, DRIFT, rows, conflict="skip", returning=("id", "event_id", "provider", *_KEY))
    told = {_novelty(row): row for row in written}
    events = [
        NewEvent.of_no_invoice(
            row.event_id, PROVIDER_DRIFT, new.told(row.event_id, row.id, bounded[new], now), new.account
        )
        for new, row in told.items()
    ]
    return list(told), add_events(connection, events, now)[0]


def _bounded(news: Sequence[News], room: dict[str, int], accepted: Mapping[str, int]) -> dict[Novelty, str | None]:
    """As many as there is room for, and one that stands for the rest."""
    bounded: dict[Novelty, str | None] = {}
    for new, invoice_id in news:
        room[new.account] -= 1
        has_room = room[new.account] >= 0
        bounded.setdefault(new if has_room else more_of(new, accepted.get(new.account, 0)), invoice_id)
    return bounded


def _room(connection: Connection, accounts: set[str]) -> dict[str, int]:
    """How many more each account may have open."""
    query = select(DRIFT.c.account, func.count().label("open")).where(
        DRIFT.c.account.in_(accounts), DRIFT.c.accepted_at.is_(None)
    )
    open_ones = {row.account: row.open for row in connection.execute(query.group_by(DRIFT.c.account))}
    return {account: max(MOST_OPEN - open_ones.get(account, 0), 0) for account in accounts}


def _mores_accepted(connection: Connection, accounts: set[str]) -> dict[str, int]:
    """How often an operator has accepted that an account has more."""
    query = select(DRIFT.c.account, func.count().label("accepted")).where(
        DRIFT.c.account.in_(accounts), DRIFT.c.kind == "more", DRIFT.c.accepted_at.is_not(None)
    )
    return {row.account: row.accepted for row in connection.execute(query.group_by(DRIFT.c.account))}


def _row(new: Novelty, now: datetime) -> dict[str, object]:
    return {**new._asdict(), "since": now, "event_id": new_id("evt"), "accepted_at": None}


def _novelty(row: StoredRow) -> Novelty:
    return Novelty(row.account, row.provider, row.kind, row.call, row.field, row.value)


def _known(connection: Connection, news: Sequence[Novelty]) -> dict[Novelty, StoredRow]:
    """By what was looked for, because a row may name another provider: the account's at that time."""
    if not news:
        return {}
    keys = {(new.account, new.kind, new.call, new.field, new.value): new for new in news}
    rows = execute_keyed(connection, _by_key, _KEY, sorted(keys)).all()
    return {keys[row.account, row.kind, row.call, row.field, row.value]: row for row in rows}


@functools.cache
def _by_key(dialect: str) -> Executable:
    return select(DRIFT).where(keyed(dialect, *(DRIFT.c[name] for name in _KEY)))


def _count(connection: Connection, known: Mapping[Novelty, StoredRow], news: Sequence[News], now: datetime) -> None:
    pairs = sorted({(known[new].id, invoice_id) for new, invoice_id in news if invoice_id and new in known})
    rows = [{"drift_id": drift_id, "invoice_id": invoice_id, "at": now} for drift_id, invoice_id in pairs]
    insert_rows(connection, DRIFT_INVOICE, rows, conflict="skip")


def _counts(connection: Connection, known: Mapping[Novelty, StoredRow]) -> set[int]:
    """The numbers of those with as many invoices as are counted."""
    found = execute_numbered(connection, _invoices, {row.id for row in known.values()}).all()
    return {row.drift_id for row in found if row.invoices >= MOST_INVOICES}


@functools.cache
def _invoices(dialect: str) -> Executable:
    query = select(DRIFT_INVOICE.c.drift_id, func.count().label("invoices"))
    return query.where(numbered(dialect, DRIFT_INVOICE.c.drift_id)).group_by(DRIFT_INVOICE.c.drift_id)
