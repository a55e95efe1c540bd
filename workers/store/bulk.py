"""Many rows in one statement: PostgreSQL gets an array per column, SQLite row by row.

A list of VALUES would be a new text for every number of rows, to be parsed and planned each time; a statement per row
costs PostgreSQL several times as much as one for all.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Literal, TypedDict

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Column,
    ColumnElement,
    Connection,
    Dialect,
    Executable,
    FromClause,
    LargeBinary,
    String,
    Table,
    any_,
    bindparam,
    column,
    func,
    select,
    text,
    tuple_,
    update,
)
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.types import TypeEngine

from workers.store.quick import execute
from workers.store.rows import Found, Insert, Query, StoredRow

#: What to do where a row's key is taken: raise an error, skip it, or poke the row that is there (the agenda's).
Conflict = Literal["error", "skip", "poke"]

#: What to do where somebody else has a row locked: wait for it, raise an error at once, leave it out.
Locks = Literal["wait", "at once", "skip"]


class How(TypedDict, total=False):
    """``Locks`` as arguments of ``with_for_update``."""

    nowait: bool
    skip_locked: bool


_HOW: Mapping[Locks, How] = {"wait": {}, "at once": {"nowait": True}, "skip": {"skip_locked": True}}

#: PostgreSQL, where locked rows are skipped: bounds the wait for locks that can't be skipped, those of tables and of
#: keys that somebody has just inserted.
SHORT_WAIT = text("SET LOCAL lock_timeout = 200")

#: Statements of each kind that are cached: each set of columns makes one, and each choice of those with one value.
STATEMENTS = 500


def key_rows(dialect: str, names: Sequence[str]) -> FromClause:
    """Keys of several text columns as rows to join with; ``keys_of`` gives their values to the execution."""
    if dialect == "postgresql":
        arrays = [bindparam(f"key_{name}", type_=ARRAY(String)) for name in names]
        return func.unnest(*arrays).table_valued(*(column(name, String) for name in names)).render_derived()
    given = func.json_each(bindparam("keys", type_=String)).table_valued("value")
    texts = [func.json_extract(given.c.value, f"$[{place}]").label(name) for place, name in enumerate(names)]
    return select(*texts).subquery()


def keys_of(dialect: str, names: Sequence[str], keys: Sequence[tuple[str, ...]]) -> dict[str, object]:
    """The values of ``key_rows``."""
    if dialect == "postgresql":
        return {f"key_{name}": [key[place] for key in keys] for place, name in enumerate(names)}
    return {"keys": json.dumps(keys)}


def keyed(dialect: str, *columns: Column[object]) -> ColumnElement[bool]:
    """``(a, b) IN keys``, each looked up in the index on these columns.

    For a plain list of pairs SQLite scans the whole table. PostgreSQL does too for a hundred of them until the table's
    first ANALYZE, because it takes each for half a percent of the rows. Keys of one column it finds in a single walk
    through the index, at a third of the cost of looking up each.
    """
    if dialect == "postgresql" and len(columns) == 1:
        return columns[0] == any_(bindparam(f"key_{columns[0].name}", type_=ARRAY(String)))
    return tuple_(*columns).in_(select(key_rows(dialect, [column.name for column in columns])))


def of_keys(dialect: str, query: Query, *columns: Column[object]) -> Query:
    """The query's rows with these keys. No key may be given twice: on PostgreSQL its row would come twice."""
    if dialect != "postgresql":
        return query.where(keyed(dialect, *columns))
    given = key_rows(dialect, [column.name for column in columns])
    return query.where(*(column == given.c[column.name] for column in columns))


def execute_keyed(
    connection: Connection,
    statement: Callable[[str], Executable],
    names: Sequence[str],
    keys: Sequence[tuple[str, ...]],
    **more: object,
) -> Found:
    """Execute what ``statement(dialect)`` makes for these keys. Cache that function: making a statement costs more than
    executing it. ``more`` are its other parameters."""
    dialect = connection.dialect.name
    return execute(connection, statement(dialect), keys_of(dialect, names, keys) | more)


def locking(statement: Callable[..., Executable], locks: Locks) -> Callable[[str], Executable]:
    """``statement(dialect)``, its FOR UPDATE with these arguments."""
    return functools.partial(statement, **_HOW[locks])


def number_rows(dialect: str, name: str) -> Query:
    """Whole numbers to look for in; ``numbers_of`` gives the value of the parameter ``name``."""
    if dialect == "postgresql":
        return select(func.unnest(bindparam(name, type_=ARRAY(BigInteger))))
    return select(func.json_each(bindparam(name, type_=String)).table_valued("value").c.value)


def numbers_of(dialect: str, numbers: Collection[int]) -> list[int] | str:
    """The value that a parameter of ``number_rows`` or ``numbered`` takes."""
    return sorted(numbers) if dialect == "postgresql" else json.dumps(sorted(numbers))


def numbered(dialect: str, column: ColumnElement[object]) -> ColumnElement[bool]:
    """``column IN numbers``, whole numbers; ``execute_numbered`` gives them to the execution."""
    if dialect == "postgresql":
        return column == any_(bindparam("numbers", type_=ARRAY(BigInteger)))
    return column.in_(number_rows(dialect, "numbers"))


def execute_numbered(
    connection: Connection, statement: Callable[[str], Executable], numbers: Collection[int], **more: object
) -> Found:
    """Execute what ``statement(dialect)`` makes for rows with these numbers; to be cached as for ``execute_keyed``.
    ``more`` are its other parameters."""
    dialect = connection.dialect.name
    return execute(connection, statement(dialect), {"numbers": numbers_of(dialect, numbers)} | more)


def insert_into(connection: Connection, table: Table) -> Insert:
    """An INSERT that knows ON CONFLICT, for the database at hand."""
    return insert_for(connection.dialect.name, table)


def insert_for(dialect: str, table: Table) -> Insert:
    """The same, by the database's name: for a statement that is made once."""
    if dialect != "postgresql":
        return sqlite_insert(table)
    from sqlalchemy.dialects.postgresql import insert as postgresql_insert

    return postgresql_insert(table)


def insert_rows(
    connection: Connection,
    table: Table,
    rows: Sequence[Mapping[str, object]],
    *,
    conflict: Conflict = "error",
    returning: tuple[str, ...] = (),
) -> Sequence[StoredRow]:
    """Insert rows that all have the same columns, in this order; returns ``returning`` of those that were written."""
    if not rows:
        return []
    if connection.dialect.name == "postgresql":
        arrays, same = _columns(tuple(sorted(rows[0])), rows)
        statement = _insert_arrays(table, tuple(arrays), tuple(same), conflict, returning)
        done = execute(connection, statement, _parameters(arrays, same))
        return done.all() if returning else []
    each = connection.execute(_insert_each(table, conflict, returning), list(rows))
    return each.all() if returning else []


def update_rows(
    connection: Connection, table: Table, key: tuple[str, ...], rows: Sequence[Mapping[str, object]]
) -> None:
    """Set the other columns of the rows with these keys. ``rows`` all have the same columns, and are sorted by key.

    On PostgreSQL they are locked in whatever order they are found: the caller holds their locks already.
    """
    if not rows:
        return
    names = tuple(sorted(rows[0]))
    if connection.dialect.name == "postgresql":
        arrays, same = _columns(names, rows, never_same=key)
        if tuple(arrays) == key and len(key) == 1:  # all alike: one walk through the index finds their keys
            statement = _update_alike(table, key[0], tuple(same))
        else:
            statement = _update_from_arrays(table, key, tuple(arrays), tuple(same))
        execute(connection, statement, _parameters(arrays, same))
    else:
        new = [{f"new_{name}": value for name, value in row.items()} for row in rows]
        connection.execute(_update_each(table, key, names), new)


def _columns(
    names: Sequence[str], rows: Sequence[Mapping[str, object]], never_same: Sequence[str] = ()
) -> tuple[dict[str, list[object]], dict[str, object]]:
    """Columns with a value for each row, and those with one value for all, which is sent once."""
    arrays: dict[str, list[object]] = {}
    same: dict[str, object] = {}
    for name in names:
        values = [row[name] for row in rows]
        if len(values) > 1 and name not in never_same and values.count(values[0]) == len(values):
            same[name] = values[0]
        else:
            arrays[name] = values
    if not arrays:  # all rows are alike: one array has to say how many they are
        name, value = same.popitem()
        arrays[name] = [value] * len(rows)
    return arrays, same


def _parameters(arrays: Mapping[str, list[object]], same: Mapping[str, object]) -> dict[str, object]:
    return {f"all_{name}": values for name, values in arrays.items()} | {
        f"same_{name}": value for name, value in same.items()
    }


def _given(table: Table, names: Sequence[str]) -> FromClause:
    """Arrays as rows to select from."""
    arrays = [bindparam(f"all_{name}", type_=ARRAY(_item_type(table.c[name].type))) for name in names]
    columns = [column(name, table.c[name].type) for name in names]
    return func.unnest(*arrays).table_valued(*columns).render_derived(name="given")


def _item_type(kind: TypeEngine[Any]) -> TypeEngine[Any]:
    """The column's type. Bytes are sent as they are: the driver takes them, and SQLAlchemy would wrap each."""
    return _PlainBytes() if isinstance(kind, LargeBinary) else kind


class _PlainBytes(LargeBinary):
    def bind_processor(self, dialect: Dialect) -> None:
        return None


def _once(table: Table, names: Sequence[str]) -> dict[str, object]:
    """Values that all rows share."""
    return {name: bindparam(f"same_{name}", type_=table.c[name].type) for name in names}


@functools.lru_cache(STATEMENTS)
def _insert_arrays(
    table: Table, names: tuple[str, ...], same: tuple[str, ...], conflict: Conflict, returning: tuple[str, ...]
) -> Executable:
    from sqlalchemy.dialects.postgresql import insert as postgresql_insert

    given = _given(table, names)
    values = select(*(given.c[name] for name in names), *_once(table, same).values())
    statement = postgresql_insert(table).from_select([*names, *same], values)
    return _finished(statement, table, conflict, returning)


@functools.cache
def _insert_each(table: Table, conflict: Conflict, returning: tuple[str, ...]) -> Executable:
    return _finished(sqlite_insert(table), table, conflict, returning)


def _finished(statement: Insert, table: Table, conflict: Conflict, returning: tuple[str, ...]) -> Executable:
    if conflict == "skip":
        statement = statement.on_conflict_do_nothing()
    elif conflict == "poke":
        statement = statement.on_conflict_do_update(
            index_elements=list(table.primary_key.columns), set_={"pokes": table.c.pokes + 1}
        )
    return statement.returning(*(table.c[name] for name in returning)) if returning else statement


@functools.lru_cache(STATEMENTS)
def _update_from_arrays(
    table: Table, key: tuple[str, ...], names: tuple[str, ...], same: tuple[str, ...]
) -> Executable:
    given = _given(table, names)
    matches = [table.c[name] == given.c[name] for name in key]
    each = {name: given.c[name] for name in names if name not in key}
    return update(table).where(*matches).values(each | _once(table, same))


@functools.lru_cache(STATEMENTS)
def _update_alike(table: Table, key: str, same: tuple[str, ...]) -> Executable:
    keys = bindparam(f"all_{key}", type_=ARRAY(table.c[key].type))
    return update(table).where(table.c[key] == any_(keys)).values(_once(table, same))


@functools.cache
def _update_each(table: Table, key: tuple[str, ...], names: tuple[str, ...]) -> Executable:
    new = {name: bindparam(f"new_{name}", type_=table.c[name].type) for name in names}
    same = [table.c[name] == new[name] for name in key]
    return update(table).where(*same).values({name: new[name] for name in names if name not in key})
