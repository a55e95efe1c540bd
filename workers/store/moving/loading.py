"""Rows into an empty table: by COPY into PostgreSQL, by INSERT into SQLite; and why a row can't be taken."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, cast

from sqlalchemy import BigInteger, Column, Connection, Integer, SmallInteger, Table, func, select

from workers.store.moving.reading import Stored, Value

if TYPE_CHECKING:
    from psycopg import Connection as Session

#: Bits of PostgreSQL's whole numbers; SQLite's columns take any.
_BITS: Final = ((SmallInteger, 16), (BigInteger, 64), (Integer, 32))


class MoveRefused(Exception):  # noqa: N818 - reads as what happened
    """It can't be moved. One line that says what is in the way; nothing was changed at either end."""


def load(connection: Connection, table: Table, rows: Sequence[Stored]) -> None:
    """Write a batch. Raises MoveRefused for a row that the database can't hold, by its key."""
    if connection.dialect.name == "postgresql":
        _copy(connection, table, rows)
    else:
        marks = ", ".join("?" for _ in table.columns)
        written = [tuple(_for_sqlite(value) for value in row) for row in rows]
        statement = f'INSERT INTO "{table.name}" ({_names(table)}) VALUES ({marks})'  # noqa: S608 - names of ours
        connection.exec_driver_sql(statement, written)


def _copy(connection: Connection, table: Table, rows: Sequence[Stored]) -> None:
    from psycopg import DataError, IntegrityError

    session = cast("Session[Any]", connection.connection.driver_connection)
    try:
        with session.cursor() as cursor, cursor.copy(f'COPY "{table.name}" ({_names(table)}) FROM STDIN') as copy:
            for row in rows:
                copy.write_row(row)
    except (DataError, IntegrityError, UnicodeEncodeError) as error:
        # Its own words may quote the row, and rows hold what nobody else should read.
        state = getattr(error, "sqlstate", None) or type(error).__name__
        raise MoveRefused(_culprit(table, rows) or f"{table.name}: PostgreSQL refuses a row ({state})") from None


def _names(table: Table) -> str:
    return ", ".join(f'"{column.name}"' for column in table.columns)


def _for_sqlite(value: Value) -> Value:
    """A time as SQLAlchemy writes it there; all else as it is."""
    if not isinstance(value, datetime):
        return value
    return value.astimezone(UTC).replace(tzinfo=None).isoformat(" ", "microseconds")


# --- why not ----------------------------------------------------------------------------------------------------------


def _culprit(table: Table, rows: Sequence[Stored]) -> str | None:
    """The first row that PostgreSQL can't hold and SQLite can, and why."""
    columns = list(table.columns)
    for row in rows:
        for column, value in zip(columns, row, strict=True):
            why = _why_not(column, value)
            if why is not None:
                return f"{table.name} {_key(table, row)}: {column.name} {why}"
    return None


def _why_not(column: Column[Any], value: Value) -> str | None:
    if value is None:
        return None if column.nullable else "is NULL, which is not allowed"
    if isinstance(value, str):
        return _why_no_text(value, getattr(column.type, "length", None))
    bits = next((bits for kind, bits in _BITS if isinstance(column.type, kind)), None)
    if bits and isinstance(value, int) and not -(1 << (bits - 1)) <= value < 1 << (bits - 1):
        return f"is a number of more than {bits} bits"
    return None


def _why_no_text(value: str, longest: int | None) -> str | None:
    if "\0" in value:
        return "has a NUL character, which PostgreSQL's text can't hold: replace it in the old database"
    if any("\ud800" <= character <= "\udfff" for character in value):
        return "has half of a surrogate pair, which is no Unicode text: replace it in the old database"
    if longest is not None and len(value) > longest:
        return f"has {len(value)} characters, {longest} are allowed"
    return None


def _key(table: Table, row: Stored) -> str:
    """Which row: its primary key, as it may be printed."""
    values = dict(zip(table.columns.keys(), row, strict=True))
    return "/".join(ascii(values[column.name]).strip("'")[:100] for column in table.primary_key)


# --- counters ---------------------------------------------------------------------------------------------------------


def raise_counters(connection: Connection, tables: Sequence[Table], least: dict[str, int]) -> None:
    """Let each table's next row get a number above all that were ever given. ``least``: the last ones given before.

    SQLite counts on from the highest row by itself.
    """
    if connection.dialect.name != "postgresql":
        return
    for name, column, sequence in _counters(connection, tables):
        highest = connection.execute(select(func.max(column))).scalar_one() or 0
        last = max(highest, least.get(name, 0))
        if last:
            connection.execute(select(func.setval(sequence, last)))


def last_numbers(connection: Connection, tables: Sequence[Table]) -> dict[str, int]:
    """By table: the last row number that was given, that of a removed row too. Empty on SQLite, which forgets them."""
    if connection.dialect.name != "postgresql":
        return {}
    read = ((name, func.pg_sequence_last_value(sequence)) for name, _, sequence in _counters(connection, tables))
    found = {name: connection.execute(select(last)).scalar_one() for name, last in read}
    return {name: number for name, number in found.items() if number is not None}


def _counters(connection: Connection, tables: Sequence[Table]) -> list[tuple[str, Column[Any], str]]:
    """(table, column, sequence), of tables whose rows PostgreSQL numbers."""
    keys = [(table, *table.primary_key.columns) for table in tables if len(table.primary_key.columns) == 1]
    asked = ((one[0], one[1], func.pg_get_serial_sequence(one[0].name, one[1].name)) for one in keys)
    found = ((table, column, connection.execute(select(sequence)).scalar_one()) for table, column, sequence in asked)
    return [(table.name, column, sequence) for table, column, sequence in found if sequence is not None]
