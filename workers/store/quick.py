"""Statements of the hot paths handed straight to PostgreSQL's driver.

SQLAlchemy makes the text of a statement, once, and says how its values are written and read. Executing it through
SQLAlchemy costs 160 microseconds of Python, through the driver 60 (decision 54). What comes back is the same, and so
are the errors. On SQLite, while somebody listens to statements (fault points, tests), and outside of a transaction,
SQLAlchemy executes it.

Private parts of SQLAlchemy, read in 2.1.9: ``Connection._handle_dbapi_exception``, ``SQLCompiler._bind_processors`` and
``_result_columns``. ``test_quick_statements.py`` fails where another version has them otherwise.
"""

from __future__ import annotations

import functools
from collections import namedtuple
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from sqlalchemy import Connection, Dialect, Executable
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.schema import ScalarElementColumnDefault
from sqlalchemy.util import LRUCache

from workers.store.rows import BINARY, UNPREPARED, Found, StoredRow

if TYPE_CHECKING:
    import psycopg

Convert = Callable[[Any], Any]

#: What SQLAlchemy's own execution would expand anew each time: lists of bound values.
_EXPANDED = "POSTCOMPILE"


class _Plan(NamedTuple):
    """A statement as the driver takes it."""

    text: bytes
    fixed: Mapping[str, object]  #: values that the statement brings along, as they are sent
    writers: Mapping[str, Convert]  #: of given values, by name
    names: tuple[str, ...]  #: of the columns that it returns; empty if it returns none, or is text that does not say
    readers: Sequence[tuple[int, Convert]]  #: of columns, by place
    is_binary: bool
    prepare: bool | None  #: None: when the driver has seen it a few times


#: By statement and version of the server: databases of one version share them.
_PLANS: LRUCache[Any, tuple[_Plan | None]] = LRUCache(2000)


class _Answer:
    """What a statement found; as much of SQLAlchemy's result as is used."""

    __slots__ = ("_cells", "_keys", "rowcount")

    def __init__(self, keys: Sequence[str], cells: Sequence[Sequence[object]], rowcount: int) -> None:
        self._keys, self._cells, self.rowcount = keys, cells, rowcount

    def all(self) -> list[StoredRow]:
        """Every row."""
        return list(map(_row(tuple(self._keys)), self._cells)) if self._cells else []

    def scalars(self) -> list[Any]:
        """The first column."""
        return [cells[0] for cells in self._cells]

    def mappings(self) -> list[dict[str, Any]]:
        """Every row by its columns' names."""
        return [dict(zip(self._keys, cells, strict=True)) for cells in self._cells]

    def one(self) -> StoredRow:
        """The only row. Raises ValueError for none or several."""
        [row] = self.all()
        return row

    def keys(self) -> Sequence[str]:
        """The columns' names."""
        return self._keys

    def __iter__(self) -> Iterator[StoredRow]:
        return iter(self.all())


def execute(connection: Connection, statement: Executable, given: Mapping[str, object]) -> Found:
    """Execute a statement that was made once and is kept (``functools.cache``) with these values."""
    plan = _plan_of(statement, connection.dialect) if _is_quick(connection) else None
    if plan is None:
        return connection.execute(statement, dict(given))
    values = dict(plan.fixed)
    for name, value in given.items():
        write = plan.writers.get(name)
        values[name] = value if write is None else write(value)
    driver = cast("psycopg.Connection[tuple[object, ...]]", connection.connection.driver_connection)
    cursor = driver.cursor(binary=plan.is_binary)
    try:
        cursor.execute(plan.text, values, prepare=plan.prepare)
        names = plan.names or tuple(column.name for column in cursor.description or ())
        found, count = cursor.fetchall() if names else [], cursor.rowcount
    except BaseException as error:  # noqa: BLE001 - SQLAlchemy tells what it is, and whether the connection is lost
        of_driver = isinstance(error, connection.dialect.loaded_dbapi.Error)
        statement_text = plan.text.decode() if of_driver else None  # without it, any other error is raised as it is
        connection._handle_dbapi_exception(error, statement_text, values, cast("Any", cursor), None)
    finally:
        cursor.close()
    cells = [_read(row, plan.readers) for row in found] if plan.readers else found
    return _Answer(names, cells, count)


def _read(row: Sequence[object], readers: Sequence[tuple[int, Convert]]) -> Sequence[object]:
    cells = list(row)
    for place, read in readers:
        if cells[place] is not None:
            cells[place] = read(cells[place])
    return cells


@functools.lru_cache(1000)
def _row(names: tuple[str, ...]) -> Convert:
    """Makes a row of these columns."""
    return functools.partial(tuple.__new__, cast("Any", namedtuple("Row", names, rename=True)))


def _is_quick(connection: Connection) -> bool:
    if connection.dialect.name != "postgresql" or not connection.in_transaction():
        return False
    heard = connection.engine.dispatch
    return len(heard.before_cursor_execute) <= 1 and not heard.after_cursor_execute  # the store's own, for BINARY


def _plan_of(statement: Executable, dialect: Dialect) -> _Plan | None:
    key = (statement, dialect.server_version_info)
    known = _PLANS.get(key)
    if known is None:
        known = _PLANS[key] = (_plan(statement, dialect),)
    return known[0]


def _plan(statement: Executable, dialect: Dialect) -> _Plan | None:
    """None for a statement that can't be compiled once for all."""
    compiled = cast("Any", statement).compile(dialect=dialect)
    if not isinstance(compiled, SQLCompiler) or _EXPANDED in compiled.string:
        return None
    defaults = [(column.key, column.default) for column in (*compiled.insert_prefetch, *compiled.update_prefetch)]
    if not all(isinstance(default, ScalarElementColumnDefault) for _, default in defaults):
        return None
    writers = cast("dict[str, Convert]", dict(compiled._bind_processors))
    brought = {name: value for name, value in compiled.params.items() if not compiled.binds[name].required}
    brought |= {name: cast("ScalarElementColumnDefault", default).arg for name, default in defaults}
    fixed = {name: writers[name](value) if name in writers else value for name, value in brought.items()}
    columns = compiled._result_columns
    names = tuple(column.keyname for column in columns)
    converts = [column.type.result_processor(dialect, None) for column in columns]
    readers = [(place, read) for place, read in enumerate(converts) if read is not None]
    options = statement.get_execution_options()
    prepare = False if UNPREPARED in options else None
    return _Plan(compiled.string.encode(), fixed, writers, names, readers, BINARY in options, prepare)
