"""All that is kept of one invoice, read by index, for ``show``, the timeline and the next steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, or_, select

from domain.asking import references_of
from domain.decision import Stage
from domain.payments import Payment
from workers.store.database import Database
from workers.store.queries import deliveries_of_events, events_of, evidence_of
from workers.store.reads.acts import acts_of
from workers.store.reads.payments import payments_of
from workers.store.rows import StoredRow
from workers.store.tables import AGENDA, CALLBACK, ENDPOINT, INVOICE

#: What is planned for an invoice itself. The agenda's key begins with the stage.
STAGES = (Stage.CHECK.value, Stage.CLOCK.value, Stage.CREATE.value)
#: Callbacks of one order that are shown. A shop that reuses order ids may have more.
MOST_CALLBACKS = 500


#: A delivery with its tries, oldest first.
Tried = tuple[StoredRow, Sequence[StoredRow]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One invoice as it stands at ``now``, by the database's clock, and all that happened to it. Oldest first."""

    invoice: StoredRow
    now: datetime
    evidence: Sequence[StoredRow]
    events: Sequence[StoredRow]
    deliveries: Sequence[Tried]
    callbacks: Sequence[StoredRow]  #: its own, and those of its order that nobody could match
    payments: Sequence[Payment]
    acts: Sequence[StoredRow]
    agenda: Sequence[StoredRow]  #: what is due next
    disabled: frozenset[str]  #: endpoints among those of the deliveries
    shows_origins: bool = True  #: where operators acted from


def read_record(connection: Connection, database: Database, invoice_id: str) -> Record | None:
    """None where there is no such invoice."""
    invoice = connection.execute(select(INVOICE).where(INVOICE.c.id == invoice_id)).one_or_none()
    if invoice is None:
        return None
    events = events_of(connection, invoice_id)
    deliveries = deliveries_of_events(connection, [event.number for event in events])
    return Record(
        invoice=invoice,
        now=database.now(connection),
        evidence=evidence_of(connection, invoice_id),
        events=events,
        deliveries=deliveries,
        callbacks=callbacks_of(connection, invoice),
        payments=payments_of(connection, invoice_id),
        acts=acts_of(connection, invoice_id),
        agenda=agenda_of(connection, invoice_id),
        disabled=disabled_among(connection, deliveries),
    )


def agenda_of(connection: Connection, invoice_id: str) -> Sequence[StoredRow]:
    """What is due next for an invoice itself."""
    query = select(AGENDA).where(AGENDA.c.stage.in_(STAGES), AGENDA.c.subject == invoice_id)
    return connection.execute(query.order_by(AGENDA.c.stage)).all()


def callbacks_of(
    connection: Connection, invoice: StoredRow, before: datetime | None = None, limit: int = MOST_CALLBACKS
) -> Sequence[StoredRow]:
    """The newest ``limit``, oldest first. Found by account and order id, or reference: there is no index on the
    invoice."""
    references = [one for one in (invoice.provider_ref, *references_of(invoice)) if one]
    named = or_(CALLBACK.c.order_id == invoice.order_id, CALLBACK.c.reference.in_(references))
    ours = or_(CALLBACK.c.invoice_id == invoice.id, CALLBACK.c.invoice_id.is_(None))
    query = select(CALLBACK).where(CALLBACK.c.account == invoice.provider_account, named, ours)
    if before is not None:
        query = query.where(CALLBACK.c.at < before)
    newest = query.order_by(CALLBACK.c.at.desc(), CALLBACK.c.id.desc())
    return connection.execute(newest.limit(limit)).all()[::-1]


def disabled_among(connection: Connection, deliveries: Sequence[Tried]) -> frozenset[str]:
    """The endpoints of these deliveries that are disabled."""
    endpoints = sorted({delivery.endpoint_id for delivery, _ in deliveries})
    query = select(ENDPOINT.c.id).where(ENDPOINT.c.id.in_(endpoints), ENDPOINT.c.disabled_at.is_not(None))
    return frozenset(connection.execute(query).scalars())
