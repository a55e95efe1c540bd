"""Many rows, one statement: what PostgreSQL takes as arrays, a column each, and SQLite row by row.

A list of VALUES would be another text for every number of rows, parsed and planned anew; and a statement a row costs
PostgreSQL several times what one for all of them does.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    Connection,
    CursorResult,
    FromClause,
    Row,
    String,
    bindparam,
    column,
    func,
    select,
    tuple_,
    update,
)
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

#: What becomes of a row whose key is taken: an error, nothing, or one more poke (the agenda's).
Conflict = Literal["error", "skip", "poke"]


def key_rows(dialect: str, names: Sequence[str]) -> FromClause:
    """Keys of several text columns as rows to join with; ``keys_of`` gives their values to the execution."""
    if dialect == "postgresql":
        arrays = [bindparam(f"key_{name}", type_=ARRAY(String)) for name in names]
        return func.unnest(*arrays).table_valued(*(column(name, String) for name in names)).render_derived()
    given = func.json_each(bindparam("keys", type_=String)).table_valued("value")
    texts = [func.json_extract(given.c.value, f"$[{place}]").label(name) for place, name in enumerate(names)]
    return select(*texts).subquery()


def keys_of(dialect: str, names: Sequence[str], keys: Sequence[tuple[str, ...]]) -> dict[str, Any]:
    """The values of ``key_rows``."""
    if dialect == "postgresql":
        return {f"key_{name}": [key[place] for key in keys] for place, name in enumerate(names)}
    return {"keys": json.dumps(keys)}


def keyed(dialect: str, *columns: Any) -> ColumnElement[bool]:
    """``(a, b) IN keys``, each looked up in the index on these columns.

    A plain list of pairs makes SQLite scan the whole table; PostgreSQL does so too for a hundred of them, until the
    table's first ANALYZE: it takes each for half a percent of the rows.
    """
    return tuple_(*columns).in_(select(key_rows(dialect, [column.name for column in columns])))


def execute_keyed(
    connection: Connection, statement: Callable[[str], Any], names: Sequence[str], keys: Sequence[tuple[str, ...]]
) -> CursorResult[Any]:
    """Execute what ``statement(dialect)`` makes for these keys. It is best cached: making costs more than executing."""
    dialect = connection.dialect.name
    return connection.execute(statement(dialect), keys_of(dialect, names, keys))


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
