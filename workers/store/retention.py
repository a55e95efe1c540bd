"""Removes what nobody needs any more: old events that every endpoint is finished with, their tries, old evidence.

Invoices stay. An event that an endpoint still waits for (a disabled one included) stays, however old it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, delete, exists, select

from workers.store.deliveries import ATTEMPT
from workers.store.judging import EVIDENCE
from workers.store.outbox import DELIVERY, ENDPOINT, EVENT
from workers.store.seek import first_number

#: Rows per transaction: short enough that nobody waits for it.
BATCH = 500


def remove_finished(connection: Connection, before: datetime) -> int:
    """Remove one batch of events, deliveries, attempts and evidence from before ``before``; how many rows went."""
    return _remove_events(connection, before) + _remove_evidence(connection, before)


def _remove_events(connection: Connection, before: datetime) -> int:
    # By way of the endpoints, which are few: the deliveries' unique index begins with them.
    awaited = exists().where(
        DELIVERY.c.endpoint_id == ENDPOINT.c.id, DELIVERY.c.event_number == EVENT.c.number, DELIVERY.c.state == "due"
    )
    end = first_number(connection, EVENT.c.number, EVENT.c.created_at, before)
    old = (
        select(EVENT.c.number)
        .where(EVENT.c.number < end, EVENT.c.created_at < before, EVENT.c.published_at.is_not(None), ~awaited)
        .order_by(EVENT.c.number)
        .limit(BATCH)
        .with_for_update(skip_locked=True)  # a replay holds those that it makes due
    )
    numbers = connection.execute(old).scalars().all()
    if not numbers:
        return 0
    # Looked at once more under the lock: a replay may have ended between the look and the lock.
    due = select(DELIVERY.c.event_number).where(_deliveries_of(numbers), DELIVERY.c.state == "due")
    numbers = sorted(set(numbers) - set(connection.execute(due).scalars()))
    ids = select(DELIVERY.c.id).where(_deliveries_of(numbers))
    removed = connection.execute(delete(ATTEMPT).where(ATTEMPT.c.delivery_id.in_(ids))).rowcount
    removed += connection.execute(delete(DELIVERY).where(_deliveries_of(numbers))).rowcount
    return removed + connection.execute(delete(EVENT).where(EVENT.c.number.in_(numbers))).rowcount


def _deliveries_of(numbers: Sequence[int]) -> Any:
    """The deliveries of events, read by the index that begins with the endpoint."""
    return DELIVERY.c.endpoint_id.in_(select(ENDPOINT.c.id)) & DELIVERY.c.event_number.in_(numbers)


def _remove_evidence(connection: Connection, before: datetime) -> int:
    end = first_number(connection, EVIDENCE.c.id, EVIDENCE.c.at, before)
    old = select(EVIDENCE.c.id).where(EVIDENCE.c.id < end, EVIDENCE.c.at < before).order_by(EVIDENCE.c.id).limit(BATCH)
    return connection.execute(delete(EVIDENCE).where(EVIDENCE.c.id.in_(old))).rowcount
