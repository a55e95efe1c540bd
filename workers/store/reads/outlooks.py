"""What comes next for each of the invoices of a page, by a few statements for all of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, func, literal_column, select

from workers.store.database import Database
from workers.store.reads.contradictions import AGAINST, settled
from workers.store.reads.record import STAGES
from workers.store.rows import StoredRow
from workers.store.tables import AGENDA, ATTEMPT, DELIVERY, ENDPOINT, EVENT, EVIDENCE

Tries = Sequence[StoredRow]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """What ``next_steps`` goes by, and no more of an invoice."""

    invoice: StoredRow
    now: datetime
    agenda: Sequence[StoredRow]
    events: Sequence[StoredRow]  #: those that the stream has not been told
    deliveries: Sequence[tuple[StoredRow, Tries]]  #: those that wait, each with its last try
    disabled: frozenset[str]
    contradicted: bool  #: and nobody has decided since


def read_outlooks(
    connection: Connection, database: Database, invoices: Sequence[StoredRow], sees: Collection[str] | None = None
) -> list[Outlook]:
    """Of each of them. ``sees``: the endpoints that may be told of; None: all."""
    ids = [invoice.id for invoice in invoices]
    endpoints = _endpoints(connection, sees)
    agenda, untold = _agenda(connection, ids), _untold(connection, ids)
    deliveries, against = _deliveries(connection, ids, sorted(endpoints)), _contradicted(connection, ids)
    disabled, now = frozenset(name for name, is_disabled in endpoints.items() if is_disabled), database.now(connection)
    return [
        Outlook(
            invoice=invoice,
            now=now,
            agenda=agenda[invoice.id],
            events=untold[invoice.id],
            deliveries=deliveries[invoice.id],
            disabled=disabled,
            contradicted=invoice.id in against,
        )
        for invoice in invoices
    ]


def _endpoints(connection: Connection, sees: Collection[str] | None) -> Mapping[str, bool]:
    """Each that may be told of, and whether it is disabled."""
    found = connection.execute(select(ENDPOINT.c.id, ENDPOINT.c.disabled_at)).all()
    return {row.id: row.disabled_at is not None for row in found if sees is None or row.id in sees}


def _agenda(connection: Connection, ids: Sequence[str]) -> Mapping[str, list[StoredRow]]:
    query = select(AGENDA).where(AGENDA.c.stage.in_(STAGES), AGENDA.c.subject.in_(ids)).order_by(AGENDA.c.stage)
    return _grouped(connection.execute(query).all(), "subject")


def _untold(connection: Connection, ids: Sequence[str]) -> Mapping[str, list[StoredRow]]:
    columns = EVENT.c.number, EVENT.c.invoice_id, EVENT.c.sequence, EVENT.c.type, EVENT.c.created_at
    told = EVENT.c.published_at
    query = select(*columns, told).where(EVENT.c.invoice_id.in_(ids), told.is_(None)).order_by(EVENT.c.sequence)
    return _grouped(connection.execute(query).all(), "invoice_id")


def _deliveries(
    connection: Connection, ids: Sequence[str], endpoints: Sequence[str]
) -> Mapping[str, list[tuple[StoredRow, Tries]]]:
    """By the index of those that wait, which begins with the endpoint."""
    # Written out, not bound: the index has these rows only, and a planner has to see that it will do.
    waits = DELIVERY.c.endpoint_id.in_(endpoints), DELIVERY.c.invoice_id.in_(ids), _DUE
    query = select(DELIVERY, EVENT.c.type).join(EVENT, EVENT.c.number == DELIVERY.c.event_number).where(*waits)
    waiting = connection.execute(query.order_by(DELIVERY.c.sequence)).all()
    last = _last_tries(connection, [row.id for row in waiting if row.tries])
    found: dict[str, list[tuple[StoredRow, Tries]]] = defaultdict(list)
    for row in waiting:
        found[row.invoice_id].append((row, last[row.id]))
    return found


def _last_tries(connection: Connection, deliveries: Sequence[int]) -> Mapping[int, list[StoredRow]]:
    if not deliveries:
        return defaultdict(list)
    last = select(func.max(ATTEMPT.c.id)).where(ATTEMPT.c.delivery_id.in_(deliveries)).group_by(ATTEMPT.c.delivery_id)
    return _grouped(connection.execute(select(ATTEMPT).where(ATTEMPT.c.id.in_(last))).all(), "delivery_id")


def _contradicted(connection: Connection, ids: Sequence[str]) -> set[str]:
    against = EVIDENCE.c.invoice_id.in_(ids), EVIDENCE.c.verdict == AGAINST, ~settled()
    return set(connection.execute(select(EVIDENCE.c.invoice_id).where(*against)).scalars())


def _grouped(rows: Sequence[StoredRow], column: str) -> defaultdict[Any, list[StoredRow]]:
    found: defaultdict[Any, list[StoredRow]] = defaultdict(list)
    for row in rows:
        found[getattr(row, column)].append(row)
    return found


_DUE = DELIVERY.c.state == literal_column("'due'")
