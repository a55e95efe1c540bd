"""How an endpoint does of late: its newest tries, and what waits for it. Each look is bounded, whatever there is."""

from __future__ import annotations

import functools
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Connection, Executable, func, select

from workers.store.bulk import execute_numbered, numbered
from workers.store.database import Database
from workers.store.deliveries import DEAD, DUE
from workers.store.endpoints import Endpoint
from workers.store.health import last_success
from workers.store.reads.receivers import Failing, read_failing
from workers.store.rows import StoredRow
from workers.store.tables import ATTEMPT, DELIVERY, EVENT, INVOICE
from workers.store.tables.columns import UtcTime

#: How many are counted; beyond that "more than" is told.
COUNTED = 1000
QUARTER, DAY = timedelta(minutes=15), timedelta(hours=24)
DELIVERED = "delivered"


@dataclass(frozen=True, slots=True)
class Waiting:
    """Events that an endpoint has not taken yet: of the oldest ``COUNTED`` + 1 of them."""

    events: int
    invoices: int
    oldest_at: datetime | None

    @property
    def is_more(self) -> bool:
        """Whether there are more than were counted."""
        return self.events > COUNTED


@dataclass(frozen=True, slots=True)
class Tries:
    """Tries of the last day, newest first: of an endpoint's newest events, and of the oldest that wait for it.
    ``is_part``: there may be more of that day."""

    now: datetime
    rows: Sequence[StoredRow]
    is_part: bool

    def since(self, length: timedelta) -> tuple[int, int]:
        """How many were delivered, of how many, in this last while."""
        late = [row for row in self.rows if row.at > self.now - length]
        return sum(row.outcome == DELIVERED for row in late), len(late)

    @property
    def last_error(self) -> StoredRow | None:
        """The newest one that was in vain."""
        return next((row for row in self.rows if row.outcome != DELIVERED), None)


def read_waiting(connection: Connection, endpoint_id: str) -> Waiting:
    """By the index of what waits; an invoice's id grows with its arrival, so the oldest is among the first."""
    first = (
        select(DELIVERY.c.invoice_id, DELIVERY.c.created_at)
        .where(DELIVERY.c.endpoint_id == endpoint_id, DELIVERY.c.state == DUE)
        .order_by(DELIVERY.c.invoice_id, DELIVERY.c.sequence)
        .limit(COUNTED + 1)
        .subquery()
    )
    oldest = func.min(first.c.created_at, type_=UtcTime)
    row = connection.execute(select(func.count(), func.count(first.c.invoice_id.distinct()), oldest)).one()
    return Waiting(*row)


def count_dead(connection: Connection, endpoint_id: str) -> int:
    """Dead letters, ``COUNTED`` + 1 at most."""
    found = select(DELIVERY.c.id).where(DELIVERY.c.endpoint_id == endpoint_id, DELIVERY.c.state == DEAD)
    counted = select(func.count()).select_from(found.limit(COUNTED + 1).subquery())
    return int(connection.execute(counted).scalar_one())


def read_tries(connection: Connection, endpoint_id: str, now: datetime, look: int) -> Tries:
    """Of the newest ``look`` events and of half as many that wait."""
    ours = select(DELIVERY.c.id).where(DELIVERY.c.endpoint_id == endpoint_id)
    newest = connection.scalars(ours.order_by(DELIVERY.c.event_number.desc()).limit(look)).all()
    waits = ours.where(DELIVERY.c.state == DUE).order_by(DELIVERY.c.invoice_id, DELIVERY.c.sequence).limit(look // 2)
    waiting = connection.scalars(waits).all()
    found = execute_numbered(connection, _tries, {*newest, *waiting}).all()
    rows = sorted((row for row in found if row.at > now - DAY), key=lambda row: (row.at, row.id), reverse=True)
    is_part = len(newest) == look and all(row.at > now - DAY for row in found)
    return Tries(now, rows, is_part)


@functools.cache
def _tries(dialect: str) -> Executable:
    names = ("id", "delivery_id", "at", "outcome", "status", "error", "latency_ms", "next_try_at")
    return select(*(ATTEMPT.c[name] for name in names)).where(numbered(dialect, ATTEMPT.c.delivery_id))


def shown_tries(connection: Connection, ids: Collection[int]) -> Sequence[StoredRow]:
    """These tries with what they answered, and with the event, the invoice and the order they were about."""
    return sorted(execute_numbered(connection, _shown, ids).all(), key=lambda row: (row.at, row.id), reverse=True)


@functools.cache
def _shown(dialect: str) -> Executable:
    told = (EVENT.c.id.label("event_id"), EVENT.c.type, INVOICE.c.order_id)
    delivery: tuple[ColumnElement[object], ...] = (DELIVERY.c.invoice_id, DELIVERY.c.sequence)
    return (
        select(ATTEMPT, *delivery, *told)
        .join(DELIVERY, DELIVERY.c.id == ATTEMPT.c.delivery_id)
        .join(EVENT, EVENT.c.number == DELIVERY.c.event_number)
        .outerjoin(INVOICE, INVOICE.c.id == DELIVERY.c.invoice_id)
        .where(numbered(dialect, ATTEMPT.c.id))
    )


@dataclass(frozen=True, slots=True)
class Doing:
    """How one endpoint does. ``failing``: what it answers to what it has not taken yet; None: nothing was in vain."""

    endpoint: Endpoint
    waiting: Waiting
    dead: int
    tries: Tries
    failing: Failing | None
    last_success_at: datetime | None

    @property
    def takes_some(self) -> bool:
        """Whether it has taken an event since the first one that it did not take."""
        taken = self.last_success_at
        return self.failing is not None and taken is not None and taken >= self.failing.since


def read_doing(connection: Connection, database: Database, endpoint: Endpoint, look: int) -> Doing:
    """Among its newest ``look`` events."""
    return Doing(
        endpoint,
        read_waiting(connection, endpoint.id),
        count_dead(connection, endpoint.id),
        read_tries(connection, endpoint.id, database.now(connection), look),
        read_failing(connection, endpoint.id),
        last_success(connection, endpoint.id),
    )
