"""How an endpoint is doing: what it took last, what waits for it, what was given up."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, func, select

from workers.store.deliveries import DEAD, DUE
from workers.store.tables import DELIVERY

#: The last success is looked for among this many of the newest events that an endpoint took.
NEWEST = 100


@dataclass(frozen=True, slots=True)
class Health:
    """Deliveries that wait, those given up (dead letters), and when one was taken last."""

    waiting: int
    dead: int
    last_success_at: datetime | None


def health_of(connection: Connection, endpoint_id: str) -> Health:
    """An endpoint's deliveries, counted by index: the cost grows with what is unfinished, not with what went well."""
    ours = DELIVERY.c.endpoint_id == endpoint_id
    waiting, dead = _count(connection, ours, DUE), _count(connection, ours, DEAD)
    return Health(waiting, dead, last_success(connection, endpoint_id))


def last_success(connection: Connection, endpoint_id: str) -> datetime | None:
    """When the endpoint last took an event, of those that are still kept."""
    newest = (
        select(DELIVERY.c.finished_at)
        .where(DELIVERY.c.endpoint_id == endpoint_id, DELIVERY.c.state == "delivered")
        .order_by(DELIVERY.c.event_number.desc())
        .limit(NEWEST)
        .subquery()
    )
    found: datetime | None = connection.execute(select(func.max(newest.c.finished_at))).scalar_one()
    return found


def _count(connection: Connection, ours: ColumnElement[bool], state: ColumnElement[str]) -> int:
    counted = select(func.count()).select_from(DELIVERY).where(ours, DELIVERY.c.state == state)
    return int(connection.execute(counted).scalar_one())
