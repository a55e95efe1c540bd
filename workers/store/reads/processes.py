"""The processes that run, as they have written themselves."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, select

from domain.exact_json import read_json
from domain.why.processes import Crew, Process
from workers.store.tables import PROCESS

#: The newest are looked at: among so many every live role is seen.
MOST = 1000


def read_crew(connection: Connection, now: datetime) -> Crew:
    """All of them at ``now``, by the database's clock."""
    rows = connection.execute(select(PROCESS).order_by(PROCESS.c.seen_at.desc()).limit(MOST))
    return Crew(
        now,
        [
            Process(row.role, row.name, row.seen_at, row.moved_at, frozenset(read_json(row.accounts or "[]")))
            for row in rows
        ],
    )
