"""An invoice's history in parts, the newest first: bounded, however long the whole is."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, select

from workers.store.database import Database
from workers.store.queries import deliveries_of_events
from workers.store.reads.payments import payments_of
from workers.store.reads.record import MOST_CALLBACKS, Record, agenda_of, callbacks_of, disabled_among
from workers.store.rows import StoredRow
from workers.store.tables import ACT, EVENT, EVIDENCE, INVOICE


def read_history(
    connection: Connection, database: Database, invoice_id: str, limit: int, before: datetime | None = None
) -> Record | None:
    """A record with the newest ``limit`` of each kind, from ``before`` a time if one is given. None: there is no such
    invoice."""
    invoice = connection.execute(select(INVOICE).where(INVOICE.c.id == invoice_id)).one_or_none()
    if invoice is None:
        return None

    def newest(key: ColumnElement[int], at: ColumnElement[datetime], ours: ColumnElement[bool]) -> Sequence[StoredRow]:
        query = select(key.table).where(ours)
        if before is not None:
            query = query.where(at < before)
        return connection.execute(query.order_by(at.desc(), key.desc()).limit(limit)).all()[::-1]

    events = newest(EVENT.c.number, EVENT.c.created_at, EVENT.c.invoice_id == invoice_id)
    deliveries = deliveries_of_events(connection, [event.number for event in events])
    return Record(
        invoice=invoice,
        now=database.now(connection),
        evidence=newest(EVIDENCE.c.id, EVIDENCE.c.at, EVIDENCE.c.invoice_id == invoice_id),
        events=events,
        deliveries=deliveries,
        callbacks=callbacks_of(connection, invoice, before, min(limit, MOST_CALLBACKS)),
        payments=payments_of(connection, invoice_id),
        acts=newest(ACT.c.id, ACT.c.at, ACT.c.invoice_id == invoice_id),
        agenda=agenda_of(connection, invoice_id),
        disabled=disabled_among(connection, deliveries),
    )
