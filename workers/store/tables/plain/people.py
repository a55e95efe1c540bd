"""Of ``tables/people.py``, written by `python -m tests.plain_tables`."""

from typing import Final

from sqlalchemy import Column, MetaData, String, Table, Text

from workers.store.tables.columns import UtcTime

_PLAIN = MetaData()

PERSON: Final = Table(
    "console_person",
    _PLAIN,
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
    _PLAIN,
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
    _PLAIN,
    Column("hash", String(64), primary_key=True),
    Column("name", String(100), nullable=False),
    Column("created_at", UtcTime, nullable=False),
    Column("ends_at", UtcTime, nullable=False),
)

ATTEMPTED: Final = Table(
    "console_attempt",
    _PLAIN,
    Column("key", String(64), primary_key=True),
    Column("until", UtcTime, nullable=False),
)
