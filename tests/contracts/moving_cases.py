"""Rows of every table with what is hard to carry from one database to another."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import BigInteger, Boolean, Column, Connection, LargeBinary, SmallInteger, String, Table, select

from workers.store.moving.move import tables
from workers.store.tables import LOG
from workers.store.tables.columns import ExactAmount, UtcTime

ODD = "\\N \\. \t\r\n\x01\x7f'\"%s{} ä\u202e\U0001f600\ufffd"
AMOUNTS = (Decimal("0.1000000000000000055"), Decimal(10) ** 40 + 1, Decimal("1E-30"), Decimal("10.50"))
FIRST = datetime(1970, 1, 1, tzinfo=UTC)
ROWS = 5


def fill(connection: Connection) -> None:
    """Rows in every table: each column that may be NULL is NULL in some and not in others."""
    for table in tables():
        if table is LOG:
            connection.execute(LOG.update().values(newest=2**53 - 1, removed=7))
            continue
        connection.execute(table.insert(), [_row(table, number) for number in range(1, ROWS + 1)])


def _row(table: Table, number: int) -> dict[str, Any]:
    return {column.name: _value(column, number) for column in table.columns}


def _value(column: Column[Any], number: int) -> Any:
    if column.nullable and number % 2:
        return None
    kind = column.type
    if isinstance(kind, ExactAmount):
        return AMOUNTS[number % len(AMOUNTS)] + number
    if isinstance(kind, UtcTime):
        return FIRST + timedelta(days=9000 * number, microseconds=number)
    if isinstance(kind, LargeBinary):
        return bytes(range(256)) * number
    if isinstance(kind, Boolean):
        return number % 3 == 0
    if isinstance(kind, String):
        return f"{number}{ODD}"[: kind.length] if kind.length else f"{number}{ODD}" * 50
    return number * (10**12 if _is_wide(column) else 10**3 if isinstance(kind, SmallInteger) else 10**6)


def _is_wide(column: Column[Any]) -> bool:
    return isinstance(column.type, BigInteger) and not column.primary_key


def every_row(connection: Connection) -> dict[str, list[str]]:
    """All that is there, as it is read: times in UTC, amounts as decimals."""
    read = {table.name: [tuple(row) for row in connection.execute(select(table))] for table in tables()}
    return {name: sorted(repr([_plain(value) for value in row]) for row in rows) for name, rows in read.items()}


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value
