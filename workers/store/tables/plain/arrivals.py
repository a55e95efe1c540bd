"""Of ``tables/arrivals.py``, written by `python -m tests.plain_tables`."""

from typing import Final

from sqlalchemy import Boolean, Column, Integer, LargeBinary, String, Table, Text

from workers.store.tables.columns import PLAIN, ExactAmount, RowNumber, UtcTime

CALLBACK: Final = Table(
    "callback",
    PLAIN,
    Column("id", RowNumber, primary_key=True),
    Column("account", String(64), nullable=False),
    Column("at", UtcTime, nullable=False),
    Column("digest", String(64), nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("headers", Text, nullable=False),
    Column("order_id", String(255)),
    Column("reference", String(255)),
    Column("word", String(64)),
    Column("amount", ExactAmount),
    Column("state", String(12), nullable=False, default="new"),
    Column("invoice_id", String(40)),
    Column("reason", Text),
)

FORGED: Final = Table(
    "forged_callback",
    PLAIN,
    Column("id", RowNumber, primary_key=True),
    Column("at", UtcTime, nullable=False),
    Column("account", String(64)),
    Column("why", String(255), nullable=False),
    Column("client", String(64)),
    Column("size", Integer, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("headers", Text, nullable=False),
)

REJECTED: Final = Table(
    "rejected_message",
    PLAIN,
    Column("id", RowNumber, primary_key=True),
    Column("message_key", String(64), nullable=False),
    Column("at", UtcTime, nullable=False),
    Column("task", String(255)),
    Column("reason", Text, nullable=False),
    Column("excerpt", Text, nullable=False),
    Column("complete", Boolean, nullable=False, default=True),
    Column("redriven_at", UtcTime),
)
