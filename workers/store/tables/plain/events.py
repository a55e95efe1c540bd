"""Of ``tables/events.py``, written by `python -m tests.plain_tables`."""

from typing import Final

from sqlalchemy import BigInteger, Column, Integer, LargeBinary, SmallInteger, String, Table, Text

from workers.store.tables.columns import PLAIN, RowNumber, UtcTime

EVENT: Final = Table(
    "event",
    PLAIN,
    Column("number", RowNumber, primary_key=True),
    Column("id", String(40), nullable=False),
    Column("invoice_id", String(40), nullable=False),
    Column("sequence", Integer, nullable=False),
    Column("type", String(40), nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("created_at", UtcTime, nullable=False),
    Column("published_at", UtcTime),
    Column("positioned", SmallInteger),
)

LOG: Final = Table(
    "event_log",
    PLAIN,
    Column("name", String(20), primary_key=True),
    Column("newest", BigInteger, nullable=False),
    Column("removed", BigInteger, nullable=False),
)

POSITION: Final = Table(
    "event_position",
    PLAIN,
    Column("position", RowNumber, primary_key=True, autoincrement=False),
    Column("event_number", RowNumber, nullable=False),
    Column("account", String(128)),
)

ENDPOINT: Final = Table(
    "endpoint",
    PLAIN,
    Column("id", String(40), primary_key=True),
    Column("url", Text, nullable=False),
    Column("secrets", Text, nullable=False),
    Column("events", Text),
    Column("accounts", Text),
    Column("headers", Text, nullable=False, default="{}"),
    Column("sealed_headers", Text),
    Column("max_in_flight", Integer, nullable=False),
    Column("rotated_until", UtcTime),
    Column("created_at", UtcTime, nullable=False),
    Column("disabled_at", UtcTime),
    Column("disabled_reason", Text),
)

DELIVERY: Final = Table(
    "delivery",
    PLAIN,
    Column("id", RowNumber, primary_key=True),
    Column("endpoint_id", String(40), nullable=False),
    Column("event_number", RowNumber, nullable=False),
    Column("invoice_id", String(40), nullable=False),
    Column("sequence", Integer, nullable=False),
    Column("state", String(12), nullable=False, default="due"),
    Column("tries", Integer, nullable=False, default=0),
    Column("next_try_at", UtcTime),
    Column("created_at", UtcTime, nullable=False),
    Column("finished_at", UtcTime),
)

ATTEMPT: Final = Table(
    "delivery_attempt",
    PLAIN,
    Column("id", RowNumber, primary_key=True),
    Column("delivery_id", RowNumber, nullable=False),
    Column("at", UtcTime, nullable=False),
    Column("outcome", String(20), nullable=False),
    Column("status", Integer),
    Column("latency_ms", Integer, nullable=False, default=0),
    Column("answer", LargeBinary),
    Column("error", Text),
    Column("next_try_at", UtcTime),
)
