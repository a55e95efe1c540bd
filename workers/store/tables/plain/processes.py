"""Of ``tables/processes.py``, written by `python -m tests.plain_tables`."""

from typing import Final

from sqlalchemy import Column, String, Table, Text

from workers.store.tables.columns import PLAIN, UtcTime

PROCESS: Final = Table(
    "process_seen",
    PLAIN,
    Column("role", String(12), primary_key=True),
    Column("name", String(200), primary_key=True),
    Column("started_at", UtcTime, nullable=False),
    Column("seen_at", UtcTime, nullable=False),
    Column("moved_at", UtcTime),
    Column("accounts", Text),
    Column("work", Text),
)
