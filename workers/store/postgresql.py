"""The engine for PostgreSQL: its driver, its sessions, and what its errors mean."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import cast

from psycopg import Cursor
from psycopg.errors import (
    DuplicatePreparedStatement,
    InsufficientPrivilege,
    InvalidColumnReference,
    InvalidSchemaName,
    InvalidSqlStatementName,
    ReadOnlySqlTransaction,
    UndefinedColumn,
    UndefinedObject,
    UndefinedTable,
)
from psycopg.pq import Format
from psycopg.rows import TupleRow
from sqlalchemy import Dialect, Engine, create_engine, event
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.engine.interfaces import ExecutionContext
from sqlalchemy.exc import DisconnectionError, OperationalError
from sqlalchemy.pool import ConnectionPoolEntry

from workers.store import session
from workers.store.arrays import FlatListDumper
from workers.store.primary import Primary, has_several
from workers.store.rows import BINARY

#: Errors that an operator has to mend: not migrated, restored without keys, missing rights, a pooler that shares
#: prepared statements. The driver calls them programming errors, like those that a single row may cause; here they are
#: OperationalErrors, as on SQLite.
_NOT_PREPARED = (
    UndefinedTable,
    UndefinedColumn,
    UndefinedObject,
    InvalidColumnReference,
    InvalidSchemaName,
    InvalidSqlStatementName,
    DuplicatePreparedStatement,
    InsufficientPrivilege,
)

_TIMELINE = "timeline"  #: of the server that a pooled session is on


def open_engine(url: str, pool_size: int) -> Engine:
    """Connects when it is first used."""
    engine = create_engine(
        url,
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=10,
        pool_use_lifo=True,  # few sessions do most of the work: their plans and PostgreSQL's caches stay warm
        connect_args={
            "connect_timeout": 5,
            "keepalives_idle": 10,
            "keepalives_interval": 5,
            "keepalives_count": 3,
            "tcp_user_timeout": 30_000,  # ms: keepalives are not sent while sent data waits for its acknowledgement
        },
    )

    arguments = engine.dialect.create_connect_args(engine.url)[1]
    if has_several(arguments):
        _follow_primary(engine, Primary(arguments))
    else:
        event.listen(engine, "do_connect", _connect)
    event.listen(engine, "checkout", _prepare_again)
    event.listen(engine, "connect", _register_dumpers)
    event.listen(engine, "before_cursor_execute", _choose_format)
    event.listen(engine, "handle_error", _tell_unprepared, retval=True)
    return engine


def _connect(
    dialect: Dialect, _record: object, arguments: tuple[object, ...], named: dict[str, object]
) -> session.Session:
    open_one = cast("Callable[..., session.Session]", dialect.connect)
    return session.connect(functools.partial(open_one, *arguments), named)


def _follow_primary(engine: Engine, primary: Primary) -> None:
    """Several servers: new sessions are on the one that was promoted last, and those on an older one are left."""

    @event.listens_for(engine, "do_connect")
    def _connect_to_newest(
        dialect: Dialect, record: ConnectionPoolEntry, arguments: tuple[object, ...], named: dict[str, object]
    ) -> session.Session:
        open_one = cast("Callable[..., session.Session]", dialect.connect)
        connection, timeline = primary.connect(functools.partial(open_one, *arguments), named)
        record.info[_TIMELINE] = timeline
        return connection

    @event.listens_for(engine, "checkout")
    def _leave_older(_connection: object, record: ConnectionPoolEntry, _proxy: object) -> None:
        if primary.is_old(record.info.get(_TIMELINE)):
            raise DisconnectionError("another server was promoted")  # the pool opens a new one


def _prepare_again(connection: session.Session, _record: object, _proxy: object) -> None:
    """RESET ALL, or a pooler in between, may have undone the session's settings."""
    if not session.is_prepared(connection):
        session.prepare(connection)


def _register_dumpers(connection: session.Session, _record: object) -> None:
    connection.adapters.register_dumper(list, FlatListDumper)


def _choose_format(
    _: object, cursor: Cursor[TupleRow], _statement: object, _given: object, context: ExecutionContext, _many: bool
) -> None:
    if BINARY in context.execution_options:
        cursor.format = Format.BINARY


def _tell_unprepared(context: ExceptionContext) -> BaseException | None:
    error = context.original_exception
    if isinstance(error, ReadOnlySqlTransaction):  # a new session may find another server, or another default
        context.is_disconnect = True
    if not isinstance(error, _NOT_PREPARED):
        return None
    return OperationalError(context.statement, context.parameters, error)
