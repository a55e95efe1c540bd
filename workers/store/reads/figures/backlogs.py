"""What waits for each endpoint: counted by index, and no further than COUNTED."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, func, select

from workers.store.deliveries import DUE
from workers.store.reads.gauges import read_oldest_waiting
from workers.store.tables import DELIVERY, ENDPOINT

COUNTED = 10_000


@dataclass(frozen=True, slots=True)
class Backlog:
    """Events that wait, and since when the oldest does."""

    waiting: int
    since: datetime | None


def read_waiting(connection: Connection) -> Mapping[str, Backlog]:
    """By endpoint: all that there are."""
    since = read_oldest_waiting(connection)
    found = {}
    for endpoint in connection.execute(select(ENDPOINT.c.id)).scalars().all():
        due = select(DELIVERY.c.id).where(DELIVERY.c.endpoint_id == endpoint, DELIVERY.c.state == DUE)
        rows = due.limit(COUNTED).subquery()
        waiting = connection.execute(select(func.count()).select_from(rows)).scalar_one()
        found[endpoint] = Backlog(waiting, since.get(endpoint) if waiting else None)
    return found
