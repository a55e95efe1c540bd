"""What the suites of a clock that is set share."""

from __future__ import annotations

from domain.decision import Stage
from tests.contracts.store_cases import (
    agenda_of,
    now,
    open_store,
)
from workers.store.agenda import PUBLISH_LANE

HOUR = 3600
STREAM = Stage.PUBLISH, PUBLISH_LANE
LEASE = 20.0


def keeper_of(database):
    return open_store(database).timekeeper()


def in_seconds(database, lane):
    """Until the lane's next row is due, for who has just begun to ask."""
    return [due.in_seconds for due in open_store(database).next_due([lane])]


def wait_of(database, subject, stage):
    return (agenda_of(database, subject)[stage].due_at - now(database)).total_seconds()
