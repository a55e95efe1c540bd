"""How fast things went in the last hour, and how long what is not done yet has taken so far."""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, Executable, and_, bindparam, exists, or_, select

from domain.decision import Stage
from domain.event import INVOICE_EVENTS
from domain.evidence import CalledBack
from domain.exact_json import read_json
from domain.figures import Sample, Speed
from domain.sequence import EPOCH_STEP
from domain.status import SILENT, Status
from workers.store.agenda import CLOCK_LANE
from workers.store.bulk import execute_keyed, execute_numbered, keyed, numbered
from workers.store.callbacks import MATCHED
from workers.store.queries import earliest_id
from workers.store.reads.figures.sampled import Sampled, sampled
from workers.store.rows import StoredRow
from workers.store.tables import AGENDA, CALLBACK, DELIVERY, ENDPOINT, EVENT, EVIDENCE, INVOICE
from workers.store.tables.columns import UtcTime

SPAN = timedelta(hours=1)
#: How many of the hour's events, webhooks and callbacks are looked at, as a sample; and how many things that are not
#: done yet.
CHANGES, WEBHOOKS, CALLBACKS, WAITING = 2000, 1000, 300, 300
#: An order that has none of these yet can't be paid.
PAYABLE = tuple(
    f"{INVOICE_EVENTS}{status}" for status in (Status.PENDING, Status.PARTIALLY_PAID, Status.CONFIRMING, Status.PAID)
)
EXPIRED = f"{INVOICE_EVENTS}{Status.EXPIRED}"
#: Wait for their payer.
_PAYER = (Status.PENDING.value, Status.PARTIALLY_PAID.value)

PAYABLE_GOAL, LATENESS_GOAL, CALLED_GOAL, DELIVERED_GOAL = 5.0, 1.0, 2.0, 60.0


@dataclass(frozen=True, slots=True)
class Speeds:
    """How long it takes, each with its goal: until an order can be paid; from an invoice's time to its expiry; from a
    callback to its change; from a change to the delivery of its webhook."""

    payable: Speed
    lateness: Speed
    called: Speed
    delivered: Speed

    def within(self, accounts: Collection[str], endpoints: Collection[str]) -> Speeds:
        """Only those of these accounts, and of webhooks those to these endpoints."""
        all_of_them = (self.payable, self.lateness, self.called, self.delivered)
        return Speeds(*(one.within(accounts, endpoints) for one in all_of_them))


def read_speeds(connection: Connection, now: datetime) -> Speeds:
    """What is finished counts from then on; what is not, as soon as it misses its goal."""
    since = now - SPAN
    changes = sampled(connection, EVENT.c.number, EVENT.c.created_at, since, CHANGES)
    webhooks = sampled(connection, DELIVERY.c.id, DELIVERY.c.created_at, since, WEBHOOKS)
    callbacks = sampled(connection, CALLBACK.c.id, CALLBACK.c.at, since, CALLBACKS)
    made, expired = _changed(connection, changes, since)
    unmade, overdue = list(_unmade(connection, now, since)), list(_overdue(connection, now))
    return Speeds(
        Speed(PAYABLE_GOAL, since, changes.step, made + unmade[:: changes.step]),
        Speed(LATENESS_GOAL, since, changes.step, expired + overdue[:: changes.step]),
        Speed(CALLED_GOAL, since, callbacks.step, list(_called(connection, callbacks, since))),
        Speed(DELIVERED_GOAL, since, webhooks.step, list(_delivered(connection, webhooks, now, since))),
    )


def _changed(connection: Connection, changes: Sampled, since: datetime) -> tuple[list[Sample], list[Sample]]:
    """Orders whose first event says that they can be paid; invoices that expired, except those that a provider expired
    early."""
    made, expired = [], []
    for row in execute_numbered(connection, _first_or_expired, changes.numbers, since=since):
        if row.type != EXPIRED:
            made.append(_sample(row.account, row.at, row.ordered_at))
        elif row.expires_at is not None and row.at >= row.expires_at:
            expired.append(_sample(row.account, row.at, row.expires_at))
    return made, expired


@functools.cache
def _first_or_expired(dialect: str) -> Executable:
    before = EVENT.alias("before")
    is_first = ~exists().where(before.c.invoice_id == EVENT.c.invoice_id, before.c.sequence < EVENT.c.sequence)
    begins = and_(EVENT.c.type.in_(PAYABLE), EVENT.c.sequence % EPOCH_STEP == 1, is_first)
    times = EVENT.c.created_at.label("at"), INVOICE.c.created_at.label("ordered_at"), INVOICE.c.expires_at
    query = select(EVENT.c.type, INVOICE.c.account, *times).join_from(
        EVENT, INVOICE, INVOICE.c.id == EVENT.c.invoice_id
    )
    later = EVENT.c.created_at >= bindparam("since", type_=UtcTime)
    return query.where(numbered(dialect, EVENT.c.number), later, or_(EVENT.c.type == EXPIRED, begins))


def _unmade(connection: Connection, now: datetime, since: datetime) -> Iterator[Sample]:
    """Orders of that time that can't be paid yet although they should, the oldest first."""
    late = now - timedelta(seconds=PAYABLE_GOAL)
    for status in sorted(SILENT):
        query = select(INVOICE.c.account, INVOICE.c.created_at).where(
            INVOICE.c.status == status.value, INVOICE.c.id >= earliest_id(since), INVOICE.c.created_at < late
        )
        for account, ordered_at in connection.execute(query.order_by(INVOICE.c.id).limit(WAITING)):
            yield _sample(account, now, ordered_at)


def _overdue(connection: Connection, now: datetime) -> Iterator[Sample]:
    """Invoices that wait for their payer, and whose time is over."""
    late = now - timedelta(seconds=LATENESS_GOAL)
    clock = AGENDA.c.stage == Stage.CLOCK.value, AGENDA.c.lane == CLOCK_LANE, AGENDA.c.due_at < late
    due = select(AGENDA.c.subject).where(*clock).order_by(AGENDA.c.due_at).limit(WAITING).subquery()
    query = select(INVOICE.c.account, INVOICE.c.expires_at).where(
        INVOICE.c.id == due.c.subject, INVOICE.c.status.in_(_PAYER), INVOICE.c.expires_at < late
    )
    for account, expires_at in connection.execute(query):
        yield _sample(account, now, expires_at)


def _delivered(connection: Connection, webhooks: Sampled, now: datetime, since: datetime) -> Iterator[Sample]:
    """Webhooks to endpoints that are enabled: those to a disabled one wait because somebody wants them to."""
    late = now - timedelta(seconds=DELIVERED_GOAL)
    for row in execute_numbered(connection, _webhooks, webhooks.numbers, since=since):
        if row.state == "delivered" and row.finished_at is not None:
            yield _sample(row.account, row.finished_at, row.created_at, row.endpoint_id)
        elif row.state == "due" and row.created_at < late:
            yield _sample(row.account, now, row.created_at, row.endpoint_id)


@functools.cache
def _webhooks(dialect: str) -> Executable:
    names = ("endpoint_id", "created_at", "finished_at", "state")
    return select(INVOICE.c.account, *(DELIVERY.c[name] for name in names)).where(
        numbered(dialect, DELIVERY.c.id),
        DELIVERY.c.created_at >= bindparam("since", type_=UtcTime),
        INVOICE.c.id == DELIVERY.c.invoice_id,
        ENDPOINT.c.id == DELIVERY.c.endpoint_id,
        ENDPOINT.c.disabled_at.is_(None),
    )


def _called(connection: Connection, sample: Sampled, since: datetime) -> Iterator[Sample]:
    """From a callback to the change that it spoke of. The next change is not always that one: a callback may bring no
    news."""
    callbacks = execute_numbered(connection, _matched, sample.numbers, since=since).all()
    keys = [(one,) for one in sorted({row.invoice_id for row in callbacks})]
    if not keys:
        return
    changes = _by_invoice(execute_keyed(connection, _changes, ("invoice_id",), keys))
    words = _by_invoice(execute_keyed(connection, _words, ("invoice_id",), keys))
    counted: set[tuple[str, datetime]] = set()
    for row in callbacks:
        change = _brought(row.at, changes[row.invoice_id], words[row.invoice_id])
        if change is not None and (row.invoice_id, change.created_at) not in counted:
            counted.add((row.invoice_id, change.created_at))
            yield _sample(change.account, change.created_at, row.at)


def _brought(called_at: datetime, changes: Sequence[StoredRow], words: Sequence[StoredRow]) -> StoredRow | None:
    """The first change after a callback to a status that some callback had named by then."""
    for change in changes:
        said = (one.detail for one in words if called_at <= one.at <= change.created_at)
        if change.created_at >= called_at and any(_says(detail, change.type) for detail in said):
            return change
    return None


@functools.cache
def _matched(dialect: str) -> Executable:
    later = CALLBACK.c.at >= bindparam("since", type_=UtcTime)
    known = CALLBACK.c.state == MATCHED, CALLBACK.c.invoice_id.is_not(None)
    query = select(CALLBACK.c.invoice_id, CALLBACK.c.at).where(numbered(dialect, CALLBACK.c.id), later, *known)
    return query.order_by(CALLBACK.c.id)


@functools.cache
def _changes(dialect: str) -> Executable:
    columns = EVENT.c.invoice_id, EVENT.c.type, EVENT.c.created_at, INVOICE.c.account
    query = select(*columns).join_from(EVENT, INVOICE, INVOICE.c.id == EVENT.c.invoice_id)
    return query.where(keyed(dialect, EVENT.c.invoice_id)).order_by(EVENT.c.invoice_id, EVENT.c.sequence)


@functools.cache
def _words(dialect: str) -> Executable:
    query = select(EVIDENCE.c.invoice_id, EVIDENCE.c.at, EVIDENCE.c.detail)
    return query.where(keyed(dialect, EVIDENCE.c.invoice_id), EVIDENCE.c.kind == CalledBack.__name__)


def _by_invoice(rows: Iterable[StoredRow]) -> Mapping[str, Sequence[StoredRow]]:
    found: dict[str, list[StoredRow]] = defaultdict(list)
    for row in rows:
        found[row.invoice_id].append(row)
    return found


def _says(detail: str, event_type: str) -> bool:
    return f"{INVOICE_EVENTS}{read_json(detail).get('status')}" == event_type


def _sample(account: str, at: datetime, began_at: datetime, endpoint: str | None = None) -> Sample:
    return Sample(account, at, max(0.0, (at - began_at).total_seconds()), endpoint)
