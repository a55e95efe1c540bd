"""The agenda: what waits in each lane, what is overdue, what is leased, what is parked."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, and_, case, func, select

from workers.store.tables import AGENDA
from workers.store.tables.columns import UtcTime


@dataclass(frozen=True, slots=True)
class Lane:
    """The rows of one stage and lane, counted. ``overdue``: due for longer than the caller's ``late``, or with a lease
    that ended that long ago: its holder was lost and nobody took the row over. ``in_hand``: leased."""

    stage: str
    lane: str
    rows: int
    overdue: int
    in_hand: int
    parked: int
    oldest_due_at: datetime | None  #: of the overdue ones, None without any


def read_lanes(connection: Connection, now: datetime, late: timedelta = timedelta(0)) -> list[Lane]:
    """Every lane that has rows. What has been due for longer than ``late`` is overdue."""
    overdue = AGENDA.c.due_at < now - late
    in_hand = and_(AGENDA.c.lease_token.is_not(None), AGENDA.c.due_at >= now)
    counted = connection.execute(
        select(
            AGENDA.c.stage,
            AGENDA.c.lane,
            func.count(),
            func.sum(case((overdue, 1), else_=0)),
            func.sum(case((in_hand, 1), else_=0)),
            func.sum(case((AGENDA.c.due_at.is_(None), 1), else_=0)),
            func.min(case((overdue, AGENDA.c.due_at)), type_=UtcTime),
        )
        .group_by(AGENDA.c.stage, AGENDA.c.lane)
        .order_by(AGENDA.c.stage, AGENDA.c.lane)
    ).all()
    return [Lane(*row) for row in counted]
