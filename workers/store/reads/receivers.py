"""How endpoints take their webhooks: what waits for each, what fails there, and what was given up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, case, func, select

from workers.store.deliveries import DEAD, DUE
from workers.store.health import last_success
from workers.store.tables import ATTEMPT, DELIVERY
from workers.store.tables.columns import UtcTime

#: How many failing deliveries of an endpoint are looked at.
SAMPLE = 100


@dataclass(frozen=True, slots=True)
class Backlog:
    """An endpoint's deliveries that are not finished."""

    waiting: int
    failing: int  #: of these, tried in vain
    most_tries: int
    oldest_at: datetime  #: the oldest that waits


@dataclass(frozen=True, slots=True)
class Failing:
    """How attempts at an endpoint fail."""

    since: datetime  #: the first failed attempt at what it has not taken yet
    last_at: datetime
    outcome: str
    status: int | None
    error: str | None
    next_try_at: datetime | None
    last_success_at: datetime | None


@dataclass(frozen=True, slots=True)
class Dead:
    """Deliveries of an endpoint that were given up."""

    deliveries: int
    last_at: datetime | None


def read_backlogs(connection: Connection) -> Mapping[str, Backlog]:
    """By endpoint; one without anything that waits is left out."""
    failing = case((DELIVERY.c.tries > 0, 1), else_=0)
    rows = connection.execute(
        select(
            DELIVERY.c.endpoint_id,
            func.count(),
            func.sum(failing),
            func.max(DELIVERY.c.tries),
            func.min(DELIVERY.c.created_at, type_=UtcTime),
        )
        .where(DELIVERY.c.state == DUE)
        .group_by(DELIVERY.c.endpoint_id)
    )
    return {endpoint: Backlog(*counts) for endpoint, *counts in rows}


def read_dead(connection: Connection) -> Mapping[str, Dead]:
    """By endpoint; one without dead letters is left out."""
    rows = connection.execute(
        select(DELIVERY.c.endpoint_id, func.count(), func.max(DELIVERY.c.finished_at, type_=UtcTime))
        .where(DELIVERY.c.state == DEAD)
        .group_by(DELIVERY.c.endpoint_id)
    )
    return {endpoint: Dead(*counts) for endpoint, *counts in rows}


def read_failing(connection: Connection, endpoint: str) -> Failing | None:
    """None where nothing that waits was tried in vain, or its attempts are no longer kept."""
    failing = (
        select(DELIVERY.c.id)
        .where(DELIVERY.c.endpoint_id == endpoint, DELIVERY.c.state == DUE, DELIVERY.c.tries > 0)
        .order_by(DELIVERY.c.id)
        .limit(SAMPLE)
    )
    tries = ATTEMPT.c.delivery_id.in_(connection.scalars(failing).all())
    newest = connection.execute(select(ATTEMPT).where(tries).order_by(ATTEMPT.c.id.desc()).limit(1)).one_or_none()
    if newest is None:
        return None
    since = connection.execute(select(func.min(ATTEMPT.c.at, type_=UtcTime)).where(tries)).scalar_one()
    next_try = select(func.min(ATTEMPT.c.next_try_at, type_=UtcTime)).where(tries, ATTEMPT.c.next_try_at > newest.at)
    return Failing(
        since,
        newest.at,
        newest.outcome,
        newest.status,
        newest.error,
        connection.scalar(next_try),
        last_success(connection, endpoint),
    )
