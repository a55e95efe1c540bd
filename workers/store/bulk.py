"""Many rows, one statement: what PostgreSQL takes as arrays, a column each, and SQLite row by row.

A list of VALUES would be another text for every number of rows, parsed and planned anew; and a statement a row costs
PostgreSQL several times what one for all of them does.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from sqlalchemy import ARRAY, Connection, FromClause, Row, bindparam, column, func, select, update
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

#: What becomes of a row whose key is taken: an error, nothing, or one more poke (the agenda's).
Conflict = Literal["error", "skip", "poke"]


def insert_rows(
    connection: Connection,
    table: Any,
    rows: Sequence[Mapping[str, Any]],
    *,
    conflict: Conflict = "error",
    returning: tuple[str, ...] = (),
) -> Sequence[Row[Any]]:
    """Insert rows that all have the same columns, in their order; ``returning`` columns of those that were written."""
    if not rows:
        return []
    names = tuple(rows[0])
    if connection.dialect.name == "postgresql":
        done = connection.execute(_insert_arrays(table, names, conflict, returning), _arrays(names, rows))
    else:
        done = connection.execute(_insert_each(table, conflict, returning), list(rows))
    return done.all() if returning else []


def update_rows(connection: Connection, table: Any, key: tuple[str, ...], rows: Sequence[Mapping[str, Any]]) -> None:
    """Set the other columns of the rows with these keys. Rows all have the same columns; they are sorted by key.

    On PostgreSQL the rows are locked in whatever order they are found: who calls holds their locks already.
    """
    if not rows:
        return
    names = tuple(rows[0])
    if connection.dialect.name == "postgresql":
        connection.execute(_update_from_arrays(table, key, names), _arrays(names, rows))
    else:
        new = [{f"new_{name}": value for name, value in row.items()} for row in rows]
        connection.execute(_update_each(table, key, names), new)


def _arrays(names: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    return {f"all_{name}": [row[name] for row in rows] for name in names}


def _given(table: Any, names: Sequence[str]) -> FromClause:
    """Arrays as rows to select from."""
    arrays = [bindparam(f"all_{name}", type_=ARRAY(table.c[name].type)) for name in names]
    columns = [column(name, table.c[name].type) for name in names]
    return func.unnest(*arrays).table_valued(*columns).render_derived(name="given")


@functools.cache
def _insert_arrays(table: Any, names: tuple[str, ...], conflict: Conflict, returning: tuple[str, ...]) -> Any:
    given = _given(table, names)
    statement = postgresql_insert(table).from_select(names, select(*(given.c[name] for name in names)))
    return _finished(statement, table, conflict, returning)


@functools.cache
def _insert_each(table: Any, conflict: Conflict, returning: tuple[str, ...]) -> Any:
    return _finished(sqlite_insert(table), table, conflict, returning)


def _finished(statement: Any, table: Any, conflict: Conflict, returning: tuple[str, ...]) -> Any:
    if conflict == "skip":
        statement = statement.on_conflict_do_nothing()
    elif conflict == "poke":
        statement = statement.on_conflict_do_update(
            index_elements=list(table.primary_key.columns), set_={"pokes": table.c.pokes + 1}
        )
    return statement.returning(*(table.c[name] for name in returning)) if returning else statement


@functools.cache
def _update_from_arrays(table: Any, key: tuple[str, ...], names: tuple[str, ...]) -> Any:
    given = _given(table, names)
    same = [table.c[name] == given.c[name] for name in key]
    return update(table).where(*same).values({name: given.c[name] for name in names if name not in key})


@functools.cache
def _update_each(table: Any, key: tuple[str, ...], names: tuple[str, ...]) -> Any:
    new = {name: bindparam(f"new_{name}", type_=table.c[name].type) for name in names}
    same = [table.c[name] == new[name] for name in key]
    return update(table).where(*same).values({name: new[name] for name in names if name not in key})
