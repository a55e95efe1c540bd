"""Receivers of webhooks: added, listed, found for an event, switched off and on, removed.

Secrets arrive sealed and leave sealed: who calls has the key, the store never does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, Table, case, delete, func, insert, select, update
from sqlmodel import SQLModel

import domain.models  # noqa: F401 - fills the metadata
from domain.exact_json import read_json, write_json
from domain.status import SILENT, Status
from workers.store.database import Database

ENDPOINT: Table = SQLModel.metadata.tables["endpoint"]
DELIVERY: Table = SQLModel.metadata.tables["delivery"]
ATTEMPT: Table = SQLModel.metadata.tables["delivery_attempt"]
AGENDA: Table = SQLModel.metadata.tables["agenda"]

#: What an endpoint can ask for. ``invoice.contradiction`` tells of evidence against a closed invoice.
EVENT_TYPES = frozenset({f"invoice.{status}" for status in Status if status not in SILENT} | {"invoice.contradiction"})

#: Removing an endpoint deletes so many deliveries a transaction: others wait no longer than that takes.
REMOVAL_BATCH = 500

DELIVER = "deliver"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One receiver. ``sealed_secrets`` newest first; ``events`` None means all; a disabled one keeps what is due."""

    id: str
    url: str
    sealed_secrets: tuple[str, ...] = field(repr=False)
    events: frozenset[str] | None
    headers: Mapping[str, str] = field(repr=False)
    created_at: datetime
    disabled_at: datetime | None
    disabled_reason: str | None

    def wants(self, event_type: str) -> bool:
        """Whether its filter lets this type of event through."""
        return self.events is None or event_type in self.events


def add_endpoint(
    connection: Connection,
    *,
    endpoint_id: str,
    url: str,
    sealed_secret: str,
    now: datetime,
    events: Sequence[str] | None = None,
    headers: Mapping[str, str] | None = None,
) -> None:
    """Add a receiver of everything that happens from now on. Raises ValueError for an event type there is none of."""
    unknown = sorted(set(events or ()) - EVENT_TYPES)
    if unknown:
        raise ValueError(f"events: there is no {', '.join(unknown)}; there are {', '.join(sorted(EVENT_TYPES))}")
    connection.execute(
        insert(ENDPOINT).values(
            id=endpoint_id,
            url=url,
            secrets=sealed_secret,
            events=",".join(sorted(set(events))) if events else None,
            headers=write_json(dict(headers or {})),
            created_at=now,
        )
    )


def endpoints_for(connection: Connection) -> list[Endpoint]:
    """Every receiver, enabled or not, oldest first: what an event is fanned out to (see ``Endpoint.wants``)."""
    return [_endpoint(row) for row in connection.execute(select(ENDPOINT).order_by(ENDPOINT.c.id))]


def find_endpoint(connection: Connection, endpoint_id: str) -> Endpoint | None:
    """The receiver with this id."""
    row = connection.execute(select(ENDPOINT).where(ENDPOINT.c.id == endpoint_id)).one_or_none()
    return None if row is None else _endpoint(row)


def disable_endpoint(connection: Connection, endpoint_id: str, reason: str, now: datetime) -> bool:
    """Let its deliveries wait; an endpoint that is disabled already keeps its reason. False: there is no such one."""
    changed = connection.execute(
        update(ENDPOINT)
        .where(ENDPOINT.c.id == endpoint_id)
        .values(
            disabled_at=func.coalesce(ENDPOINT.c.disabled_at, now),
            disabled_reason=case((ENDPOINT.c.disabled_at.is_(None), reason), else_=ENDPOINT.c.disabled_reason),
        )
    )
    return changed.rowcount > 0


def enable_endpoint(connection: Connection, endpoint_id: str) -> bool:
    """Deliver again, what waited first. False: there is no such endpoint."""
    changed = connection.execute(
        update(ENDPOINT).where(ENDPOINT.c.id == endpoint_id).values(disabled_at=None, disabled_reason=None)
    )
    return changed.rowcount > 0


def remove_endpoint(database: Database, endpoint_id: str) -> int | None:
    """Remove a receiver with all that was meant for it; returns the number of deliveries, None: no such endpoint.

    In small batches, disabled meanwhile; ended half-way it is simply removed again.
    """
    with database.transaction() as connection:
        if not disable_endpoint(connection, endpoint_id, "is being removed", database.now(connection)):
            return None
    removed = _remove_deliveries(database, endpoint_id)
    with database.transaction() as connection:
        connection.execute(delete(ENDPOINT).where(ENDPOINT.c.id == endpoint_id))
    # Once more: a transaction that had read the endpoint just before may have added an event for it.
    return removed + _remove_deliveries(database, endpoint_id)


def redrive_parked(connection: Connection, now: datetime, limit: int) -> int:
    """Make up to ``limit`` parked agenda rows due; returns how many it were.

    A row whose holders were lost goes on counting as lost: a create that was perhaps sent must not be sent blindly.
    """
    keys = connection.execute(
        select(AGENDA.c.stage, AGENDA.c.subject)
        .where(AGENDA.c.due_at.is_(None))
        .order_by(AGENDA.c.stage, AGENDA.c.subject)
        .limit(limit)
        .with_for_update()
    ).all()
    for stage in sorted({key.stage for key in keys}):
        subjects = [key.subject for key in keys if key.stage == stage]
        connection.execute(
            update(AGENDA)
            .where(AGENDA.c.stage == stage, AGENDA.c.subject.in_(subjects))
            .values(due_at=now, claims=case((AGENDA.c.claims > 0, 1), else_=0))
        )
    return len(keys)


def _remove_deliveries(database: Database, endpoint_id: str) -> int:
    removed = 0
    while True:
        with database.transaction() as connection:
            batch = _remove_batch(connection, endpoint_id)
        removed += batch
        if batch < REMOVAL_BATCH:
            return removed


def _remove_batch(connection: Connection, endpoint_id: str) -> int:
    """Deletes the oldest deliveries, with their attempts and agenda rows."""
    deliveries = connection.execute(
        select(DELIVERY.c.id, DELIVERY.c.invoice_id)
        .where(DELIVERY.c.endpoint_id == endpoint_id)
        .order_by(DELIVERY.c.id)
        .limit(REMOVAL_BATCH)
    ).all()
    if not deliveries:
        return 0
    ids = [row.id for row in deliveries]
    subjects = sorted({f"{endpoint_id}/{row.invoice_id}" for row in deliveries})
    # The agenda first: whoever completes a delivery locks its agenda row before anything else.
    connection.execute(delete(AGENDA).where(AGENDA.c.stage == DELIVER, AGENDA.c.subject.in_(subjects)))
    connection.execute(delete(ATTEMPT).where(ATTEMPT.c.delivery_id.in_(ids)))
    connection.execute(delete(DELIVERY).where(DELIVERY.c.id.in_(ids)))
    return len(deliveries)


def _endpoint(row: Row[Any]) -> Endpoint:
    return Endpoint(
        id=row.id,
        url=row.url,
        sealed_secrets=tuple(row.secrets.split(",")),
        events=None if row.events is None else frozenset(row.events.split(",")),
        headers=read_json(row.headers),
        created_at=row.created_at,
        disabled_at=row.disabled_at,
        disabled_reason=row.disabled_reason,
    )
