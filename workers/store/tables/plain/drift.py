"""Of ``tables/drift.py``, written by `python -m tests.plain_tables`."""

from typing import Final

from sqlalchemy import Column, String, Table

from workers.store.tables.columns import PLAIN, RowNumber, UtcTime

DRIFT: Final = Table(
    "provider_drift",
    PLAIN,
    Column("id", RowNumber, primary_key=True),
    Column("account", String(128), nullable=False),
    Column("provider", String(64), nullable=False),
    Column("kind", String(12), nullable=False),
    Column("call", String(20), nullable=False),
    Column("field", String(120), nullable=False),
    Column("value", String(40), nullable=False),
    Column("since", UtcTime, nullable=False),
    Column("event_id", String(40), nullable=False),
    Column("accepted_at", UtcTime),
)

DRIFT_INVOICE: Final = Table(
    "drift_invoice",
    PLAIN,
    Column("drift_id", RowNumber, primary_key=True, autoincrement=False),
    Column("invoice_id", String(40), primary_key=True),
    Column("at", UtcTime, nullable=False),
)
