"""Of ``tables/access.py``, written by `python -m tests.plain_tables`."""

from typing import Final

from sqlalchemy import BigInteger, Column, Integer, String, Table, Text

from workers.store.tables.columns import PLAIN, ExactAmount, UtcTime

TOKEN: Final = Table(
    "access_token",
    PLAIN,
    Column("id", String(40), primary_key=True),
    Column("name", String(100), nullable=False),
    Column("scopes", String(100), nullable=False),
    Column("accounts", Text),
    Column("hash", String(64), nullable=False),
    Column("per_second", ExactAmount),
    Column("created_at", UtcTime, nullable=False),
    Column("expires_at", UtcTime),
    Column("revoked_at", UtcTime),
    Column("last_used_at", UtcTime),
)

JOB: Final = Table(
    "replay_job",
    PLAIN,
    Column("id", String(40), primary_key=True),
    Column("endpoint_id", String(40), nullable=False),
    Column("event_id", String(40)),
    Column("choice", Text, nullable=False),
    Column("by", String(100), nullable=False),
    Column("origin", String(200), nullable=False),
    Column("reason", Text),
    Column("state", String(12), nullable=False),
    Column("total", Integer, nullable=False),
    Column("sent", Integer, nullable=False),
    Column("done_number", BigInteger, nullable=False),
    Column("last_number", BigInteger, nullable=False),
    Column("why", Text),
    Column("created_at", UtcTime, nullable=False),
    Column("leased_until", UtcTime),
    Column("finished_at", UtcTime),
)

BULK: Final = Table(
    "bulk_job",
    PLAIN,
    Column("id", String(40), primary_key=True),
    Column("kind", String(20), nullable=False),
    Column("selection", Text, nullable=False),
    Column("query", Text, nullable=False),
    Column("options", Text, nullable=False),
    Column("by", String(100), nullable=False),
    Column("origin", String(200), nullable=False),
    Column("reason", Text),
    Column("state", String(12), nullable=False),
    Column("foreseen", Integer, nullable=False),
    Column("more", Integer, nullable=False),
    Column("done", Integer, nullable=False, default=0),
    Column("skipped", Integer, nullable=False, default=0),
    Column("failed", Integer, nullable=False, default=0),
    Column("events", Integer, nullable=False, default=0),
    Column("cursor", String(40)),
    Column("failures", Text, nullable=False),
    Column("why", Text),
    Column("created_at", UtcTime, nullable=False),
    Column("worked_at", UtcTime, nullable=False),
    Column("leased_until", UtcTime),
    Column("lease_token", String(32)),
    Column("finished_at", UtcTime),
)

BULK_FAILURE: Final = Table(
    "bulk_failure",
    PLAIN,
    Column("job_id", String(40), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("invoice_id", String(40), nullable=False),
    Column("order_id", String(128), nullable=False),
    Column("why", Text, nullable=False),
)
