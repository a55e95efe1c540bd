"""What the suites of replays share: events that were sent, and choices of what is sent again."""

from __future__ import annotations

import json

from tests.contracts.store_cases import (
    judge,
    seen,
)
from workers.store import replay
from workers.store.deliveries import DeliveryAttempt
from workers.store.tables import EVENT

LEASE = 60.0


def grow(store, invoice_id, *statuses):
    for status in statuses:
        judge(store, invoice_id, seen(status))


def deliveries(store, endpoint_id):
    return store.claim_deliveries(endpoint_id, 1000, LEASE)


def deliver_all(store, endpoint_id):
    """Every delivery that is due, in the order they were sent: (event id, sequence)."""
    sent = []
    while batch := deliveries(store, endpoint_id):
        sent += [
            (delivery.event_id, int(json.loads(delivery.body)["sequence"]))
            for delivery in batch
            if delivery.delivery_id
        ]
        store.settle([DeliveryAttempt(delivery, "delivered", None, 204, 1, b"") for delivery in batch])
    return sent


def chosen(database, endpoint_id, *, numbers=None, limit=1000, **given):
    with database.reading() as connection:
        return replay.choose(connection, replay.Choice(endpoint_id, **given), numbers=numbers, limit=limit)


def play(database, endpoint_id, events, **given):
    with database.transaction() as connection:
        return replay.replay(connection, database, endpoint_id, events, **given)


def age(database, number, by):
    with database.transaction() as connection:
        at = database.now(connection) - by
        connection.execute(EVENT.update().where(EVENT.c.number == number).values(created_at=at))
