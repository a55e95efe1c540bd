"""Of ``tables/work.py``, written by `python -m tests.plain_tables`."""

from typing import Final

from sqlalchemy import BigInteger, Column, Integer, String, Table, Text

from workers.store.tables.columns import PLAIN, UtcTime

AGENDA: Final = Table(
    "agenda",
    PLAIN,
    Column("stage", String(10), primary_key=True),
    Column("subject", String(90), primary_key=True),
    Column("lane", String(64), nullable=False),
    Column("due_at", UtcTime),
    Column("lease_token", String(32)),
    Column("claims", Integer, nullable=False, default=0),
    Column("pokes", Integer, nullable=False, default=0),
    Column("fence", BigInteger),
)

CLOCK: Final = Table(
    "clock",
    PLAIN,
    Column("name", String(20), primary_key=True),
    Column("seen_at", UtcTime, nullable=False),
    Column("stepped_at", UtcTime),
    Column("stepped_by", BigInteger),
    Column("moving_by", BigInteger),
    Column("moved_to", Text),
)

KEPT: Final = Table(
    "kept_answer",
    PLAIN,
    Column("invoice_id", String(40), primary_key=True),
    Column("token", String(32), primary_key=True),
    Column("kind", String(24), nullable=False),
    Column("detail", Text, nullable=False),
    Column("raw", Text),
    Column("kept_at", UtcTime, nullable=False),
)

RESTORATION: Final = Table(
    "restoration",
    PLAIN,
    Column("epoch", Integer, primary_key=True, autoincrement=False),
    Column("at", UtcTime, nullable=False),
)
