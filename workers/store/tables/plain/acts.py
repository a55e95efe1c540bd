"""Of ``tables/acts.py``, written by `python -m tests.plain_tables`."""

from typing import Final

from sqlalchemy import Column, String, Table, Text

from workers.store.tables.columns import PLAIN, RowNumber, UtcTime

ACT: Final = Table(
    "operator_act",
    PLAIN,
    Column("id", RowNumber, primary_key=True),
    Column("at", UtcTime, nullable=False),
    Column("by", String(100), nullable=False),
    Column("origin", String(200), nullable=False),
    Column("act", String(32), nullable=False),
    Column("invoice_id", String(40)),
    Column("endpoint_id", String(40)),
    Column("account", String(64)),
    Column("callback_id", RowNumber),
    Column("message_id", RowNumber),
    Column("reason", Text),
    Column("before", Text),
    Column("after", Text),
)
