"""The store's statements, compiled by SQLAlchemy and executed without the rest of it, at half the cost.

What is compiled, bound and read is SQLAlchemy's word (its compiler, its types, its rows); left out are execution
contexts, cursors' results and the pool, which a single connection in one thread has no use for.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite
from sqlalchemy.engine import IteratorResult
from sqlalchemy.engine.result import SimpleResultMetaData
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql.compiler import WARN_LINTING


class Statements:
    """Stands where the store expects a Connection; ``before`` is called before each statement."""

    def __init__(self, raw: sqlite3.Connection, before: Callable[[], None]) -> None:
        self.dialect = SQLiteDialect_pysqlite(paramstyle="qmark")
        self._raw = raw
        self._before = before
        self._compiled: dict[Any, Any] = {}
        self._read: dict[Any, SimpleResultMetaData] = {}  #: how the rows of a compiled statement are read

    def execute(self, statement: Any, parameters: Any = None) -> IteratorResult[Any]:
        """As ``Connection.execute``."""
        self._before()
        given = list(parameters) if isinstance(parameters, list | tuple) else [parameters or {}]
        compiled, extracted, collected, _ = statement._compile_w_cache(
            dialect=self.dialect,
            compiled_cache=self._compiled,
            column_keys=sorted(given[0]),
            for_executemany=len(given) > 1,
            schema_translate_map=None,
            linting=WARN_LINTING,
        )
        assert not compiled.insert_prefetch, "a default of Python's is nobody's business here"
        assert not compiled.update_prefetch, "a default of Python's is nobody's business here"
        rows: list[Any] = []
        cursor = None
        for place, one in enumerate(given):
            values = compiled.construct_params(
                one,
                escape_names=False,
                _group_number=place,
                extracted_parameters=extracted,
                _collected_params=collected,
            )
            cursor = self._perform(*_bound(compiled, values))
            rows += cursor.fetchall()
        return self._result(compiled, cursor, rows)

    def _perform(self, query: str, values: Sequence[Any]) -> sqlite3.Cursor:
        try:
            return self._raw.execute(query, values)
        except sqlite3.Error as error:
            raise DBAPIError.instance(query, values, error, sqlite3.Error, dialect=self.dialect) from error

    def _result(self, compiled: Any, cursor: Any, rows: list[Any]) -> IteratorResult[Any]:
        read = self._read.get(compiled)
        if read is None:
            names = [column[0] for column in cursor.description or ()]
            types = {column.keyname: column.type for column in compiled._result_columns}
            processors = [self._processor(types.get(name)) for name in names]
            read = self._read[compiled] = SimpleResultMetaData(names, _processors=processors)
        return IteratorResult(read, iter(rows))

    def _processor(self, kind: Any) -> Any:
        return None if kind is None else kind._cached_result_processor(self.dialect, None)


def _bound(compiled: Any, values: dict[str, Any]) -> tuple[str, Sequence[Any]]:
    """The text, and what its question marks stand for."""
    query, places, processors = compiled.string, compiled.positiontup, compiled._bind_processors
    if compiled.literal_execute_params or compiled.post_compile_params:
        expanded = compiled._process_parameters_for_postcompile(values)
        query, places, processors = expanded.statement, expanded.positiontup, {**processors, **expanded.processors}
    return query, [processors[key](values[key]) if key in processors else values[key] for key in places]
