"""The stream of events: what it has not been told yet, whether its row is held, and what the log leaves out."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, func, or_, select

from domain.decision import Stage
from workers.store.agenda import PUBLISH_LANE
from workers.store.outbox import position_of_event
from workers.store.tables import AGENDA, EVENT, POSITION, RESTORATION

#: How many are counted; more are reported as "at least".
COUNTED = 10_000


@dataclass(frozen=True, slots=True)
class Untold:
    """Events the stream has not been told. ``held_until``: the end of the lease on the publisher's row, if there is
    one."""

    events: int  #: at most COUNTED
    oldest_at: datetime | None
    held_until: datetime | None


def read_untold(connection: Connection, now: datetime) -> Untold:
    """Counted by the index of what is unpublished."""
    unpublished = EVENT.c.published_at.is_(None)
    first = select(EVENT.c.number).where(unpublished).order_by(EVENT.c.number).limit(COUNTED).subquery()
    events = connection.execute(select(func.count()).select_from(first)).scalar_one()
    oldest = select(EVENT.c.created_at).where(unpublished).order_by(EVENT.c.number).limit(1)
    row = (AGENDA.c.stage == Stage.PUBLISH.value) & (AGENDA.c.subject == PUBLISH_LANE)
    held = select(AGENDA.c.due_at).where(row, AGENDA.c.lease_token.is_not(None), AGENDA.c.due_at >= now)
    return Untold(events, connection.scalar(oldest), connection.scalar(held))


@dataclass(frozen=True, slots=True)
class Unplaced:
    """Events without a position although they, or newer ones, were told."""

    events: int  #: at most COUNTED
    oldest_at: datetime | None


def read_unplaced(connection: Connection, before: datetime) -> Unplaced:
    """Of those from before ``before``: a newer one's position may be on its way. By the index of what is unplaced."""
    newest_placed = select(func.max(POSITION.c.event_number)).scalar_subquery()
    passed_over = or_(EVENT.c.published_at.is_not(None), EVENT.c.number < newest_placed)
    without = select(EVENT.c.created_at).where(
        EVENT.c.positioned.is_(None), position_of_event().is_(None), EVENT.c.created_at < before, passed_over
    )
    found = without.order_by(EVENT.c.number).limit(COUNTED).subquery()
    return Unplaced(*connection.execute(select(func.count(), func.min(found.c.created_at)).select_from(found)).one())


@dataclass(frozen=True, slots=True)
class Knowledge:
    """Whether the database knows an event, and when `invoices restored` was last run."""

    event: bool
    restored_at: datetime | None


def read_knowledge(connection: Connection, event_id: str) -> Knowledge:
    """Two look-ups by key."""
    event = connection.scalar(select(EVENT.c.number).where(EVENT.c.id == event_id))
    last = select(RESTORATION.c.at).order_by(RESTORATION.c.epoch.desc()).limit(1)
    return Knowledge(event is not None, connection.scalar(last))
