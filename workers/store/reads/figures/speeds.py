"""How fast things went in the last hour, and how long what is not done yet has taken so far."""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, Executable, exists, select

from domain.decision import Stage
from domain.event import INVOICE_EVENTS
from domain.evidence import CalledBack
from domain.exact_json import read_json
from domain.figures import Sample, Speed
from domain.sequence import EPOCH_STEP
from domain.status import SILENT, Status
from workers.store.agenda import CLOCK_LANE
from workers.store.bulk import execute_keyed, keyed
from workers.store.callbacks import MATCHED
from workers.store.queries import earliest_id
from workers.store.reads.figures.newest import newest
from workers.store.rows import StoredRow
from workers.store.tables import AGENDA, CALLBACK, DELIVERY, ENDPOINT, EVENT, EVIDENCE, INVOICE

SPAN = timedelta(hours=1)
#: So many of the newest events, webhooks and callbacks are looked at, and so many things that are not done yet.
CHANGES, WEBHOOKS, CALLBACKS, WAITING = 5000, 5000, 1000, 1000
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
    """Each with its goal: an order to be payable, an expiry after its time, a callback to its change, a change to the
    delivery of its webhook."""

    payable: Speed
    lateness: Speed
    called: Speed
    delivered: Speed

    def within(self, accounts: Collection[str], endpoints: Collection[str]) -> Speeds:
        """Of these accounts, and of webhooks to these endpoints, only."""
        all_of_them = (self.payable, self.lateness, self.called, self.delivered)
        return Speeds(*(one.within(accounts, endpoints) for one in all_of_them))


def read_speeds(connection: Connection, now: datetime) -> Speeds:
    """What is done in its time counts once it is done, what is not counts from then on."""
    since = now - SPAN
    changes = newest(connection, EVENT.c.number, EVENT.c.created_at, since, CHANGES)
    webhooks = newest(connection, DELIVERY.c.id, DELIVERY.c.created_at, since, WEBHOOKS)
    callbacks = newest(connection, CALLBACK.c.id, CALLBACK.c.at, since, CALLBACKS)
    payable = [*_made(connection, changes.after, since), *_unmade(connection, now, since)]
    lateness = [*_expired(connection, changes.after, since), *_overdue(connection, now)]
    called = list(_called(connection, callbacks.after, since))
    delivered = list(_delivered(connection, webhooks.after, now, since))
    return Speeds(
        Speed(PAYABLE_GOAL, changes.since, changes.is_cut, payable),
        Speed(LATENESS_GOAL, changes.since, changes.is_cut, lateness),
        Speed(CALLED_GOAL, callbacks.since, callbacks.is_cut, called),
        Speed(DELIVERED_GOAL, webhooks.since, webhooks.is_cut, delivered),
    )


def _made(connection: Connection, after: int, since: datetime) -> Iterator[Sample]:
    """Orders whose first event says that they can be paid."""
    before = EVENT.alias("before")
    is_first = ~exists().where(before.c.invoice_id == EVENT.c.invoice_id, before.c.sequence < EVENT.c.sequence)
    query = select(INVOICE.c.account, EVENT.c.created_at, INVOICE.c.created_at.label("ordered_at")).where(
        INVOICE.c.id == EVENT.c.invoice_id,
        EVENT.c.number > after,
        EVENT.c.created_at >= since,
        EVENT.c.type.in_(PAYABLE),
        EVENT.c.sequence % EPOCH_STEP == 1,
        is_first,
    )
    for account, at, ordered_at in connection.execute(query):
        yield _sample(account, at, ordered_at)


def _unmade(connection: Connection, now: datetime, since: datetime) -> Iterator[Sample]:
    """Orders of that time that can't be paid yet although they should, the oldest first."""
    late = now - timedelta(seconds=PAYABLE_GOAL)
    for status in sorted(SILENT):
        query = select(INVOICE.c.account, INVOICE.c.created_at).where(
            INVOICE.c.status == status.value, INVOICE.c.id >= earliest_id(since), INVOICE.c.created_at < late
        )
        for account, ordered_at in connection.execute(query.order_by(INVOICE.c.id).limit(WAITING)):
            yield _sample(account, now, ordered_at)


def _expired(connection: Connection, after: int, since: datetime) -> Iterator[Sample]:
    """What a provider expired earlier is not late."""
    query = select(INVOICE.c.account, EVENT.c.created_at, INVOICE.c.expires_at).where(
        INVOICE.c.id == EVENT.c.invoice_id,
        EVENT.c.number > after,
        EVENT.c.created_at >= since,
        EVENT.c.type == EXPIRED,
        EVENT.c.created_at >= INVOICE.c.expires_at,
    )
    for account, at, expires_at in connection.execute(query):
        yield _sample(account, at, expires_at)


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


def _delivered(connection: Connection, after: int, now: datetime, since: datetime) -> Iterator[Sample]:
    """Webhooks to endpoints that are enabled: a disabled one's wait as somebody wants it."""
    query = select(
        INVOICE.c.account, DELIVERY.c.endpoint_id, DELIVERY.c.created_at, DELIVERY.c.finished_at, DELIVERY.c.state
    ).where(
        INVOICE.c.id == DELIVERY.c.invoice_id,
        ENDPOINT.c.id == DELIVERY.c.endpoint_id,
        DELIVERY.c.id > after,
        DELIVERY.c.created_at >= since,
        ENDPOINT.c.disabled_at.is_(None),
    )
    late = now - timedelta(seconds=DELIVERED_GOAL)
    for account, endpoint, began_at, finished_at, state in connection.execute(query):
        if state == "delivered" and finished_at is not None:
            yield _sample(account, finished_at, began_at, endpoint)
        elif state == "due" and began_at < late:
            yield _sample(account, now, began_at, endpoint)


def _called(connection: Connection, after: int, since: datetime) -> Iterator[Sample]:
    """From a callback to the change that it spoke of: it may have brought no news, and the change after it may have
    come in its own time."""
    matched = CALLBACK.c.state == MATCHED, CALLBACK.c.invoice_id.is_not(None)
    query = select(CALLBACK.c.invoice_id, CALLBACK.c.at).where(CALLBACK.c.id > after, CALLBACK.c.at >= since, *matched)
    callbacks = connection.execute(query.order_by(CALLBACK.c.id)).all()
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
    """The first change after a callback that says what one had said by then."""
    for change in changes:
        said = (one.detail for one in words if called_at <= one.at <= change.created_at)
        if change.created_at >= called_at and any(_says(detail, change.type) for detail in said):
            return change
    return None


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
