"""Removes what nobody needs any more: old events that every endpoint is finished with, their tries, old evidence.

Invoices stay. An event that an endpoint still waits for (a disabled one included) stays, however old it is.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, delete, exists, select

from workers.store.deliveries import ATTEMPT
from workers.store.judging import EVIDENCE
from workers.store.outbox import DELIVERY, ENDPOINT, EVENT

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
    numbers = (
        connection.execute(
            select(EVENT.c.number)
            .where(EVENT.c.created_at < before, EVENT.c.published_at.is_not(None), ~awaited)
            .order_by(EVENT.c.number)
            .limit(BATCH)
        )
        .scalars()
        .all()
    )
    if not numbers:
        return 0
    deliveries = select(DELIVERY.c.id).where(
        DELIVERY.c.endpoint_id.in_(select(ENDPOINT.c.id)), DELIVERY.c.event_number.in_(numbers)
    )
    removed = connection.execute(delete(ATTEMPT).where(ATTEMPT.c.delivery_id.in_(deliveries))).rowcount
    removed += connection.execute(delete(DELIVERY).where(DELIVERY.c.id.in_(deliveries))).rowcount
    return removed + connection.execute(delete(EVENT).where(EVENT.c.number.in_(numbers))).rowcount


def _remove_evidence(connection: Connection, before: datetime) -> int:
    old = select(EVIDENCE.c.id).where(EVIDENCE.c.at < before).order_by(EVIDENCE.c.id).limit(BATCH)
    return connection.execute(delete(EVIDENCE).where(EVIDENCE.c.id.in_(old))).rowcount
