"""What is to be done, and is not: parked and overdue rows; messages that were turned away."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from workers.cli.doctor.finding import Finding

if TYPE_CHECKING:
    from config.settings import Settings
    from workers.store.database import Database

#: The sweep takes up what is due each second; overdue for so long, nobody works.
OVERDUE_LIMIT_SECONDS = 60.0


def check_agenda(database: Database, config: Settings) -> Iterator[Finding]:
    """Rows that nobody takes up."""
    from workers.store.queries import agenda_health

    with database.reading() as connection:
        now = database.now(connection)
        lanes = agenda_health(connection, now)
    parked = [f"{lane.stage}/{lane.lane}: {lane.parked}" for lane in lanes if lane.parked]
    late = [
        f"{lane.stage}/{lane.lane}: {lane.overdue} since {(now - lane.oldest_due_at).total_seconds():.0f} s"
        for lane in lanes
        if lane.oldest_due_at and (now - lane.oldest_due_at).total_seconds() > OVERDUE_LIMIT_SECONDS
    ]
    rows = sum(lane.rows for lane in lanes)
    if parked:
        yield Finding("agenda", "wrong", f"parked rows ({', '.join(parked)}): see `invoices redrive parked`")
    if late:
        yield Finding("agenda", "wrong", f"overdue ({', '.join(late)}): is a worker running?")
    if not parked and not late:
        yield Finding("agenda", "ok", f"{rows} rows, none parked, none overdue")


def check_messages(database: Database) -> Iterator[Finding]:
    """Messages that were turned away."""
    from workers.store.queries import count_rejected

    with database.reading() as connection:
        rejected = count_rejected(connection)
    if rejected:
        yield Finding("messages", "note", f"{rejected} were turned away: see `invoices rejected`")
