"""Removes what nobody needs any more: old events that every endpoint is finished with, with their delivery attempts;
old evidence; old callbacks, forged ones too; old messages that were rejected.

Invoices stay. So does, however old it is, an event that an endpoint (even a disabled one) still waits for, a callback
that no invoice is known for, and a contradiction until the invoice is marked.

Where invoices are archived (``archiving/``) all that belongs to one stays too: it goes with it, once a file holds it.
"""

from __future__ import annotations

import functools
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, Executable, delete, exists, select

from domain.status import UNMADE
from workers.store.bulk import execute_numbered, numbered
from workers.store.callbacks import DISMISSED, MATCHED
from workers.store.outbox import NO_SEQUENCE
from workers.store.positions import remove_dangling, remove_positions
from workers.store.queries import earliest_id
from workers.store.reads.contradictions import AGAINST, settled
from workers.store.seek import first_number, later
from workers.store.tables import (
    ATTEMPT,
    CALLBACK,
    DELIVERY,
    ENDPOINT,
    EVENT,
    EVIDENCE,
    FORGED,
    INVOICE,
    KEPT,
    POSITION,
    REJECTED,
)
from workers.store.walk import Walk

#: Rows per transaction: short enough that nobody waits for it.
BATCH = 500


class Retention:
    """Removes old rows batch by batch. Where few of them stand among many that stay, a ``Walk`` looks for them."""

    def __init__(self) -> None:
        self._positions = Walk(POSITION.c.event_number)
        self._callbacks = Walk(CALLBACK.c.id)

    def remove_finished(self, connection: Connection, before: datetime, *, archived: bool = False) -> int:
        """Remove one batch of each kind from before ``before``. Returns how many rows that were, positions of removed
        events not counted. ``archived``: not what belongs to an invoice.

        Positions that were left behind come last: looking for them is quick once old events are gone.
        """
        nobodys = _remove_kept, _remove_rejected, _remove_forged
        invoices = _remove_events, _remove_evidence, _remove_callbacks
        left_over = _remove_notices, self._remove_left_callbacks
        removed = sum(remove(connection, before) for remove in nobodys + (left_over if archived else invoices))
        return removed or self._remove_dangling(connection, before)

    def _remove_dangling(self, connection: Connection, before: datetime) -> int:
        end = first_number(connection, EVENT.c.number, EVENT.c.created_at, before)

        def remove(first: int, last: int) -> int:
            return remove_dangling(connection, first, last, BATCH)

        return self._positions.go(connection, end or None, remove)  # 0: no event is left

    def _remove_left_callbacks(self, connection: Connection, before: datetime) -> int:
        """Those of invoices that are archived by now, and of none."""
        end = first_number(connection, CALLBACK.c.id, CALLBACK.c.at, before)
        nobodys = ~exists().where(INVOICE.c.id == CALLBACK.c.invoice_id)

        def remove(first: int, last: int) -> int:
            return _remove_callbacks_of(connection, before, CALLBACK.c.id.between(first, last), nobodys)

        return self._callbacks.go(connection, end, remove)


def _remove_events(connection: Connection, before: datetime) -> int:
    end = first_number(connection, EVENT.c.number, EVENT.c.created_at, before)
    return _remove_events_by(connection, before, EVENT.c.number, EVENT.c.number < end)


def _remove_notices(connection: Connection, before: datetime) -> int:
    """Events that tell of no invoice. Their own ids stand in the invoice's place: one range of the index on it."""
    theirs = EVENT.c.invoice_id >= "evt_", EVENT.c.invoice_id < earliest_id(later(before), "evt")
    return _remove_events_by(connection, before, EVENT.c.invoice_id, *theirs, EVENT.c.sequence == NO_SEQUENCE)


def _remove_events_by(
    connection: Connection, before: datetime, key: ColumnElement[object], *conditions: ColumnElement[bool]
) -> int:
    """In the order of ``key``, whose index has them."""
    # By way of the endpoints, which are few: the deliveries' unique index begins with them.
    awaited = exists().where(
        DELIVERY.c.endpoint_id == ENDPOINT.c.id, DELIVERY.c.event_number == EVENT.c.number, DELIVERY.c.state == "due"
    )
    old = (
        select(EVENT.c.number)
        .where(*conditions, EVENT.c.created_at < before, EVENT.c.published_at.is_not(None), ~awaited)
        .order_by(key)
        .limit(BATCH)
        .with_for_update(skip_locked=True)  # a replay has those locked that it makes due
    )
    numbers = connection.execute(old).scalars().all()
    if not numbers:
        return 0
    # Checked again under the lock: a replay may have ended between the read and the lock.
    finished = set(numbers) - set(execute_numbered(connection, _due, numbers).scalars())
    remove_positions(connection, finished)
    # This waits for an attempt that is being written down, which is then removed as well.
    execute_numbered(connection, _held, finished).all()
    removals = _attempts, _deliveries, _events  # in this order: attempts are found by their deliveries
    return sum(execute_numbered(connection, removal, finished).rowcount for removal in removals)


def _deliveries_of(dialect: str) -> ColumnElement[bool]:
    """The deliveries of events with these numbers, by an index that begins with the endpoint."""
    return DELIVERY.c.endpoint_id.in_(select(ENDPOINT.c.id)) & numbered(dialect, DELIVERY.c.event_number)


@functools.cache
def _due(dialect: str) -> Executable:
    return select(DELIVERY.c.event_number).where(_deliveries_of(dialect), DELIVERY.c.state == "due")


@functools.cache
def _held(dialect: str) -> Executable:
    return select(DELIVERY.c.id).where(_deliveries_of(dialect)).order_by(DELIVERY.c.id).with_for_update()


@functools.cache
def _attempts(dialect: str) -> Executable:
    return delete(ATTEMPT).where(ATTEMPT.c.delivery_id.in_(select(DELIVERY.c.id).where(_deliveries_of(dialect))))


@functools.cache
def _deliveries(dialect: str) -> Executable:
    return delete(DELIVERY).where(_deliveries_of(dialect))


@functools.cache
def _events(dialect: str) -> Executable:
    return delete(EVENT).where(numbered(dialect, EVENT.c.number))


def _remove_evidence(connection: Connection, before: datetime) -> int:
    """Contradictions stay until somebody has marked their invoice."""
    end = first_number(connection, EVIDENCE.c.id, EVIDENCE.c.at, before)
    is_open = (EVIDENCE.c.verdict == AGAINST) & ~settled()
    old = select(EVIDENCE.c.id).where(EVIDENCE.c.id < end, EVIDENCE.c.at < before, ~is_open)
    old = old.order_by(EVIDENCE.c.id).limit(BATCH)
    return connection.execute(delete(EVIDENCE).where(EVIDENCE.c.id.in_(old))).rowcount


def _remove_kept(connection: Connection, before: datetime) -> int:
    """Answers that were being kept just as they were judged. One whose invoice is unmade may still be needed."""
    unmade = exists().where(INVOICE.c.id == KEPT.c.invoice_id, INVOICE.c.status.in_([str(one) for one in UNMADE]))
    return connection.execute(delete(KEPT).where(KEPT.c.kept_at < before, ~unmade)).rowcount


def _remove_callbacks(connection: Connection, before: datetime) -> int:
    end = first_number(connection, CALLBACK.c.id, CALLBACK.c.at, before)
    return _remove_callbacks_of(connection, before, CALLBACK.c.id < end)


def _remove_callbacks_of(connection: Connection, before: datetime, *conditions: ColumnElement[bool]) -> int:
    """Those that are judged or dismissed. Those yet to be judged, and those about no known invoice, stay."""
    finished = CALLBACK.c.state.in_([MATCHED, DISMISSED])
    old = select(CALLBACK.c.id).where(*conditions, CALLBACK.c.at < before, finished)
    batch = old.order_by(CALLBACK.c.id).limit(BATCH)
    return connection.execute(delete(CALLBACK).where(CALLBACK.c.id.in_(batch))).rowcount


def _remove_forged(connection: Connection, before: datetime) -> int:
    """All of them: they are few."""
    return connection.execute(delete(FORGED).where(FORGED.c.at < before)).rowcount


def _remove_rejected(connection: Connection, before: datetime) -> int:
    """Messages that were rejected, whether sent again or not: they may hold personal data."""
    end = first_number(connection, REJECTED.c.id, REJECTED.c.at, before)
    old = select(REJECTED.c.id).where(REJECTED.c.id < end, REJECTED.c.at < before).order_by(REJECTED.c.id).limit(BATCH)
    return connection.execute(delete(REJECTED).where(REJECTED.c.id.in_(old))).rowcount
