"""Of ``tables/people.py``, written by `python -m tests.plain_tables`."""

from typing import Final

from sqlalchemy import Column, String, Table, Text

from workers.store.tables.columns import PLAIN, UtcTime

PERSON: Final = Table(
    "console_person",
    PLAIN,
    Column("id", String(40), primary_key=True),
    Column("name", String(100), nullable=False),
    Column("key", String(200), nullable=False),
    Column("role", String(12), nullable=False),
    Column("accounts", Text),
    Column("password", String(200), nullable=False),
    Column("created_at", UtcTime, nullable=False),
    Column("changed_at", UtcTime, nullable=False),
)

SESSION: Final = Table(
    "console_session",
    PLAIN,
    Column("hash", String(64), primary_key=True),
    Column("name", String(100), nullable=False),
    Column("key", String(200), nullable=False),
    Column("role", String(12), nullable=False),
    Column("accounts", Text),
    Column("way", String(12), nullable=False),
    Column("address", String(64), nullable=False),
    Column("created_at", UtcTime, nullable=False),
    Column("seen_at", UtcTime, nullable=False),
    Column("ends_at", UtcTime, nullable=False),
)

LINK: Final = Table(
    "console_link",
    PLAIN,
    Column("hash", String(64), primary_key=True),
    Column("name", String(100), nullable=False),
    Column("created_at", UtcTime, nullable=False),
    Column("ends_at", UtcTime, nullable=False),
)

ATTEMPTED: Final = Table(
    "console_attempt",
    PLAIN,
    Column("key", String(64), primary_key=True),
    Column("until", UtcTime, nullable=False),
)
