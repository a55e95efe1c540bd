"""A table's rows as they are stored, the same from either database, and a digest of them that needs no order."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import cast

from sqlalchemy import ColumnElement, Connection, Table, Text, func, select, type_coerce

from workers.store.tables.columns import ExactAmount

#: Rows that are in memory at a time.
BATCH = 2000

#: A column's value: text, number, bytes, time in UTC, or None. Amounts and JSON are text, digit for digit.
Value = str | int | bool | bytes | datetime | None
Stored = tuple[Value, ...]

_BITS = 256


@dataclass(slots=True)
class Tally:
    """How many rows there were, and the sum of their SHA-256 sums: the same for the same rows in any order."""

    rows: int = 0
    total: int = 0

    def add(self, rows: Sequence[Stored]) -> None:
        """Count these too."""
        for row in rows:
            said = repr(tuple(_normal(value) for value in row)).encode("utf-8", "surrogatepass")
            self.total += int.from_bytes(hashlib.sha256(said).digest(), "big")
        self.total %= 1 << _BITS
        self.rows += len(rows)

    @property
    def digest(self) -> str:
        """In hexadecimal."""
        return f"{self.total:0{_BITS // 4}x}"


def _normal(value: Value) -> Value:
    """What both databases tell alike: their drivers differ in the object that stands for UTC."""
    return value.isoformat() if isinstance(value, datetime) else value


def batches(connection: Connection, table: Table) -> Iterator[list[Stored]]:
    """Every row, a batch at a time, in any order. Times are converted, all else is as it is stored."""
    columns = [as_stored(column) for column in table.columns]
    found = connection.execute(select(*columns).execution_options(yield_per=BATCH))
    for rows in found.partitions():
        yield [cast("Stored", tuple(row)) for row in rows]


def tally(connection: Connection, table: Table, told: Callable[[int], None] = lambda _: None) -> Tally:
    """Of the whole table, read from the database. ``told`` how many more rows were read."""
    counted = Tally()
    for rows in batches(connection, table):
        counted.add(rows)
        told(len(rows))
    return counted


def count(connection: Connection, tables: Sequence[Table]) -> int:
    """The rows of all these tables."""
    return sum(connection.execute(select(func.count()).select_from(table)).scalar_one() for table in tables)


def as_stored(column: ColumnElement[object]) -> ColumnElement[object]:
    """For a select: an amount as its text, digit for digit."""
    return type_coerce(column, Text) if isinstance(column.type, ExactAmount) else column
