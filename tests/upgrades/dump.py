"""A database as text: its shape, and its rows as INSERT statements that can be loaded at any later time."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import Connection, inspect, text

from workers.store.database import Database

_TIME = re.compile(r"'(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d+)?)(\+00)?'")
_TAKEN = "-- taken at "
_OUR_OWN = "alembic_version"

_SQLITE_SHAPE = """
SELECT sql FROM sqlite_master WHERE sql IS NOT NULL AND tbl_name <> 'alembic_version' ORDER BY type DESC, name
"""
_POSTGRES_SHAPE = """
SELECT line FROM (
    SELECT 1 AS part, c.relname AS name, a.attnum AS place,
        c.relname || '.' || a.attname || ' ' || format_type(a.atttypid, a.atttypmod)
        || CASE WHEN a.attnotnull THEN ' NOT NULL' ELSE '' END
        || COALESCE(' DEFAULT ' || pg_get_expr(d.adbin, d.adrelid), '') AS line
    FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
    WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace
    UNION ALL
    SELECT 2, indexname, 0, indexdef FROM pg_indexes WHERE schemaname = 'public'
    UNION ALL
    SELECT 3, conname, 0, conname || ' ' || pg_get_constraintdef(oid) FROM pg_constraint
    WHERE connamespace = 'public'::regnamespace AND contype <> 'n'
    UNION ALL
    SELECT 4, relname, 0, relname || ' WITH ' || array_to_string(reloptions, ', ') FROM pg_class
    WHERE relnamespace = 'public'::regnamespace AND reloptions IS NOT NULL
) AS shape WHERE line NOT LIKE '%alembic_version%' ORDER BY part, name, place
"""


def read_shape(database: Database) -> str:
    """Every table, column, index and constraint as the database itself tells them."""
    query = _POSTGRES_SHAPE if database.is_postgresql else _SQLITE_SHAPE
    with database.reading() as connection:
        lines = [str(line) for line in connection.execute(text(query)).scalars()]
    return "".join(f"{line.replace('public.', '')}{'' if database.is_postgresql else ';'}\n" for line in lines)


def dump_rows(database: Database) -> str:
    """Every row as an INSERT, under a line that says when; values are quoted by the database itself."""
    with database.reading() as connection:
        taken = database.now(connection).astimezone(UTC).isoformat()
        return "\n".join([f"{_TAKEN}{taken}", *_statements(connection, database.is_postgresql)]) + "\n"


def _statements(connection: Connection, is_postgresql: bool) -> Iterator[str]:
    quoted = "quote_nullable({}::text)" if is_postgresql else "quote({})"
    shape = inspect(connection)
    for table in sorted(set(shape.get_table_names()) - {_OUR_OWN}):
        names = [column["name"] for column in shape.get_columns(table)]
        key = ", ".join(shape.get_pk_constraint(table)["constrained_columns"])
        values = ", ".join(quoted.format(name) for name in names)
        for row in connection.execute(text(f"SELECT {values} FROM {table} ORDER BY {key}")):
            assert not any("\n" in value for value in row), f"{table}: a value of more than one line"
            yield f"INSERT INTO {table} ({', '.join(names)}) VALUES ({', '.join(row)});"
        if is_postgresql and key in {"id", "number"} and table not in {"invoice", "endpoint"}:
            yield f"SELECT setval(pg_get_serial_sequence('{table}', '{key}'), 1000);"


def load_rows(database: Database, path: Path, replace: dict[str, str] | None = None) -> int:
    """Load a dump as if it had been taken right now: every time is moved by as much. Returns how many rows."""
    taken, *statements = path.read_text().splitlines()
    with database.transaction() as connection:
        moved = database.now(connection) - datetime.fromisoformat(taken.removeprefix(_TAKEN))
        for statement in statements:
            connection.exec_driver_sql(_move(_replace(statement, replace or {}), moved))
    return sum(statement.startswith("INSERT") for statement in statements)


def _replace(statement: str, replace: dict[str, str]) -> str:
    for old, new in replace.items():
        statement = statement.replace(old, new)
    return statement


def _move(statement: str, by: timedelta) -> str:
    """Times as both databases write them; what is inside of an event's bytes stays as it was told."""

    def later(match: re.Match[str]) -> str:
        time = datetime.fromisoformat(match[1]) + by
        return f"'{time.isoformat(sep=' ', timespec='microseconds')}{match[2] or ''}'"

    return _TIME.sub(later, statement)
