"""An archived invoice as a small database of its own, for what reads invoices."""

from __future__ import annotations

import base64
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from sqlalchemy import Column, Connection, LargeBinary, Table, insert, select

from domain.exact_json import read_json
from workers.store.database import Database
from workers.store.rows import StoredRow
from workers.store.tables import (
    ACT,
    ATTEMPT,
    CALLBACK,
    DELIVERY,
    ENDPOINT,
    EVENT,
    EVIDENCE,
    INVOICE,
    PAYMENT,
    RESTORATION,
)
from workers.store.tables.columns import PLAIN, ExactAmount, UtcTime

_TABLES = (INVOICE, EVIDENCE, PAYMENT, EVENT, DELIVERY, ATTEMPT, CALLBACK, ACT, ENDPOINT, RESTORATION)

Row = Mapping[str, Any]


@contextmanager
def unpacked(line: bytes, live: Database) -> Iterator[tuple[Database, StoredRow]]:
    """A database with the invoice of an archive's line and all that belongs to it, and the invoice's row. From the live
    database come what operators did, restores, and the addresses of endpoints."""
    document = read_json(line)
    with tempfile.TemporaryDirectory(prefix="invoices-") as folder:
        database = Database(f"sqlite:///{Path(folder) / 'archived.db'}", pool_size=2)
        try:
            with database.transaction() as connection, live.reading() as source:
                PLAIN.create_all(connection, tables=list(_TABLES))
                _fill(connection, document)
                _fill_from(connection, source, document)
            yield database, database.read(_invoice)
        finally:
            database.close()


def _invoice(connection: Connection) -> StoredRow:
    return connection.execute(select(INVOICE)).one()


def _fill(connection: Connection, document: Mapping[str, Any]) -> None:
    deliveries = document["deliveries"]
    parts = (
        (INVOICE, [document["invoice"]]),
        (EVIDENCE, document["evidence"]),
        (PAYMENT, document["payments"]),
        (EVENT, document["events"]),
        (CALLBACK, document["callbacks"]),
        (DELIVERY, deliveries),
        (ATTEMPT, [attempt for one in deliveries for attempt in one["attempts"]]),
    )
    for table, rows in parts:
        _put(connection, table, rows)


def _fill_from(connection: Connection, source: Connection, document: Mapping[str, Any]) -> None:
    """An endpoint that was removed since has no address any more."""
    acts = select(ACT).where(ACT.c.invoice_id == document["invoice"]["id"])
    names = sorted({one["endpoint_id"] for one in document["deliveries"]})
    columns = ENDPOINT.c.id, ENDPOINT.c.url, ENDPOINT.c.created_at, ENDPOINT.c.disabled_at
    there = {row.id: row._asdict() for row in source.execute(select(*columns).where(ENDPOINT.c.id.in_(names)))}
    given = {"secrets": "", "max_in_flight": 1, "headers": "{}", "disabled_at": None}
    gone = {"url": "", "created_at": datetime.fromisoformat(document["invoice"]["created_at"])}
    for table, rows in (
        (ACT, [row._asdict() for row in source.execute(acts)]),
        (RESTORATION, [row._asdict() for row in source.execute(select(RESTORATION))]),
        (ENDPOINT, [given | there.get(one, {"id": one, **gone}) for one in names]),
    ):
        if rows:
            connection.execute(insert(table), rows)


def _put(connection: Connection, table: Table, rows: list[Row]) -> None:
    """Of the columns those that this release knows; what the line does not have is NULL, or the column's default."""
    columns = [column for column in table.columns if rows and column.name in rows[0]]
    if rows:
        given = [{column.name: _value(column, row[column.name]) for column in columns} for row in rows]
        connection.execute(insert(table), given)


def _value(column: Column[Any], value: Any) -> Any:
    """As ``documents`` wrote it."""
    if value is None:
        return None
    if isinstance(column.type, UtcTime):
        return datetime.fromisoformat(value)
    if isinstance(column.type, ExactAmount):
        return Decimal(value)
    if isinstance(column.type, LargeBinary):
        return base64.b64decode(value["base64"]) if isinstance(value, dict) else value.encode()
    return value
