"""Invoices that ended long ago, and the archive of a test's own."""

from __future__ import annotations

import json
from datetime import timedelta

from sqlalchemy import func, select, update

from tests.contracts.position_cases import place
from tests.contracts.store_cases import OPERATOR, judge, pend, rows, seen, subscribe
from workers.store.archiving.files import Folder, lines
from workers.store.deliveries import DeliveryAttempt
from workers.store.operate.archiving import archive
from workers.store.tables import (
    AGENDA,
    CALLBACK,
    DELIVERY,
    DRIFT_INVOICE,
    EVENT,
    EVIDENCE,
    INVOICE,
    PAYMENT,
    POSITION,
)

OLD = timedelta(days=90)
#: What belongs to an invoice and goes with it.
PARTS = (EVENT, DELIVERY, EVIDENCE, PAYMENT, POSITION, INVOICE)


def end(store, count=1, **fields):
    """Paid invoices whose webhooks were delivered and whose events are on the stream; nobody watches for a refund."""
    endpoint = subscribe(store.database)
    ids = pend(store, count, **fields)
    for one in ids:
        judge(store, one, seen("paid"))
    for _ in range(2):  # of each invoice only the oldest event is sent at a time
        for delivery in store.claim_deliveries(endpoint, 1000, 60):
            store.settle([DeliveryAttempt(delivery, "delivered", status=200, answer=b"ok \xff")])
    place(store)
    store.publishing.mark_published([event.number for event in store.publishing.unpublished(10_000)])
    return ids


def age(database, ids, days=91):
    """Let these invoices be so old, by their ids too. Returns their new ids."""
    with database.transaction() as connection:
        new = {one: _earlier(one, days) for one in ids}
        for old, one in new.items():
            for table in (EVENT, DELIVERY, EVIDENCE, PAYMENT, CALLBACK, DRIFT_INVOICE):
                connection.execute(update(table).where(table.c.invoice_id == old).values(invoice_id=one))
            connection.execute(update(AGENDA).where(AGENDA.c.subject == old).values(subject=one))
            at = database.now(connection) - timedelta(days=days)
            connection.execute(update(INVOICE).where(INVOICE.c.id == old).values(id=one, updated_at=at))
    return list(new.values())


def _earlier(invoice_id, days):
    made = int(invoice_id[4:16], 16) - days * 86_400_000
    return f"inv_{made:012x}{invoice_id[16:]}"


def run(database, folder, told=lambda *_: None):
    """What was written and removed, by file."""
    done = list(archive(database, folder, OLD, OPERATOR, told))
    return [(one.path.name, one.written, one.removed) for one in done]


def held(folder):
    """Every line of every file."""
    return [json.loads(line) for path in Folder(folder).finished() for line in lines(path)]


def counts(database):
    """Rows of what belongs to invoices."""
    with database.reading() as connection:
        return {one.name: connection.execute(select(func.count()).select_from(one)).scalar_one() for one in PARTS}


def left(database):
    return {row.id for row in rows(database, INVOICE)}
