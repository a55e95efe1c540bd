"""What is open now, by status, and the money that it waits for."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal

from sqlalchemy import Connection, Subquery, and_, case, func, literal, select

from domain.decision import Stage
from domain.money import EXACT
from domain.status import WATCHED, Status
from workers.store.agenda import CLOCK_LANE
from workers.store.exact_sum import exact_sum
from workers.store.tables import AGENDA, INVOICE
from workers.store.tables.columns import UtcTime

#: How many invoices of a status are counted; and of how many of them, the newest, it is told whose they are and what
#: they wait for.
COUNTED, KNOWN = 10_000, 5000
#: Due times that are looked at for what expires next.
DUE = 1000
SOON = timedelta(minutes=10)
#: In the order of an invoice's way.
ORDER = (Status.QUEUED, Status.IN_DOUBT, Status.PENDING, Status.PARTIALLY_PAID, Status.CONFIRMING)


@dataclass(frozen=True, slots=True)
class Group:
    """Open invoices of one account, status and anomaly that wait for the same asset: what is still to come, and what
    was seen of it. ``held``: in doubt, and nobody creates them again by himself."""

    account: str
    status: Status
    anomaly: str | None
    invoices: int
    oldest_at: datetime
    asset: str | None = None
    network: str | None = None
    to_come: Decimal | None = None
    seen: Decimal | None = None
    held: int = 0


@dataclass(frozen=True, slots=True)
class Count:
    """How many invoices a status has, at most COUNTED. ``oldest_at``: None without any."""

    status: Status
    invoices: int
    oldest_at: datetime | None

    @property
    def is_more(self) -> bool:
        """There may be more."""
        return self.invoices >= COUNTED


@dataclass(frozen=True, slots=True)
class Ending:
    """An invoice that waits for its payer, and expires at ``at``."""

    account: str
    status: Status
    at: datetime


@dataclass(frozen=True, slots=True)
class Standing:
    """What is open now. ``groups`` tell of at most KNOWN invoices of a status."""

    counts: Sequence[Count]
    groups: Sequence[Group]
    endings: Sequence[Ending]  #: the next ones, soonest first

    def within(self, accounts: Collection[str]) -> Standing:
        """Of these accounts only."""
        groups = [one for one in self.groups if one.account in accounts]
        counts = [_count_of(status, [one for one in groups if one.status is status]) for status in ORDER]
        return replace(
            self, counts=counts, groups=groups, endings=[one for one in self.endings if one.account in accounts]
        )

    @property
    def is_cut(self) -> bool:
        """Some status has more invoices than ``groups`` tell of."""
        return any(
            sum(one.invoices for one in self.groups if one.status is status) >= KNOWN for status in sorted(WATCHED)
        )


def read_standing(connection: Connection, now: datetime) -> Standing:
    """Counts by the index of statuses."""
    counts = [_count(connection, status) for status in ORDER]
    groups = [group for one in counts if one.invoices for group in _groups(connection, one.status)]
    return Standing(counts, groups, list(_endings(connection, now)))


def _count_of(status: Status, groups: Sequence[Group]) -> Count:
    oldest_at = min((one.oldest_at for one in groups), default=None)
    return Count(status, sum(one.invoices for one in groups), oldest_at)


def _count(connection: Connection, status: Status) -> Count:
    of_status = INVOICE.c.status == status.value
    found = select(INVOICE.c.id).where(of_status).order_by(INVOICE.c.id).limit(COUNTED).subquery()
    invoices = connection.execute(select(func.count()).select_from(found)).scalar_one()
    oldest = select(INVOICE.c.created_at).where(of_status).order_by(INVOICE.c.id).limit(1)
    return Count(status, invoices, connection.scalar(oldest) if invoices else None)


def _groups(connection: Connection, status: Status) -> Iterator[Group]:
    """Of the newest of this status."""
    newest = select(INVOICE).where(INVOICE.c.status == status.value).order_by(INVOICE.c.id.desc()).limit(KNOWN)
    found = newest.subquery()
    if status in WATCHED:
        yield from _awaited(connection, status, found)
        return
    create = and_(AGENDA.c.stage == Stage.CREATE.value, AGENDA.c.subject == found.c.id)
    rows = found.outerjoin(AGENDA, create) if status is Status.IN_DOUBT else found
    held = func.count() - func.count(AGENDA.c.subject) if status is Status.IN_DOUBT else literal(0)
    counted = func.count(), func.min(found.c.created_at, type_=UtcTime), held
    query = select(found.c.account, *counted).select_from(rows).group_by(found.c.account)
    for account, invoices, oldest_at, waiting in connection.execute(query.order_by(found.c.account)):
        yield Group(account, status, None, invoices, oldest_at, held=waiting)


def _awaited(connection: Connection, status: Status, found: Subquery) -> Iterator[Group]:
    """With the money they wait for. If the provider does not say how much of a payment that it saw has come, all of it
    counts; if it does not say how much is to be paid, the price counts."""
    due, paid = func.coalesce(found.c.pay_amount, found.c.price), found.c.paid_amount
    asset = case((found.c.pay_amount.is_(None), found.c.currency), else_=found.c.pay_currency).label("asset")
    seen = func.coalesce(paid, due) if status is Status.CONFIRMING else paid
    key = found.c.account, found.c.anomaly, asset, found.c.network
    counted = func.count(), func.min(found.c.created_at, type_=UtcTime)
    query = select(*key, *counted, exact_sum(due), exact_sum(seen)).group_by(*key).order_by(*key)
    for account, anomaly, asset_name, network, invoices, oldest_at, asked, came in connection.execute(query):
        to_come = None if status is Status.CONFIRMING else less(asked, came)
        yield Group(account, status, anomaly, invoices, oldest_at, asset_name, network, to_come, came)


def less(asked: Decimal | None, came: Decimal | None) -> Decimal | None:
    """How much of an amount is still to come, never below zero."""
    if asked is None or came is None:
        return asked
    return max(EXACT.subtract(asked, came), Decimal(0))


def _endings(connection: Connection, now: datetime) -> Iterator[Ending]:
    """By the due times of invoices: those of the others are left out."""
    clock = AGENDA.c.stage == Stage.CLOCK.value, AGENDA.c.lane == CLOCK_LANE, AGENDA.c.due_at >= now
    due = select(AGENDA.c.subject).where(*clock).order_by(AGENDA.c.due_at).limit(DUE).subquery()
    waiting = INVOICE.c.status.in_((Status.PENDING.value, Status.PARTIALLY_PAID.value))
    query = select(INVOICE.c.account, INVOICE.c.status, INVOICE.c.expires_at).where(
        INVOICE.c.id == due.c.subject, waiting, INVOICE.c.expires_at >= now
    )
    for account, status, at in connection.execute(query.order_by(INVOICE.c.expires_at)):
        yield Ending(account, Status(status), at)
