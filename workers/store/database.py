"""The connection to SQLite or PostgreSQL: transactions, the clock that decides, and which errors mean "away"."""

from __future__ import annotations

import functools
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

from sqlalchemy import Connection, Engine, Executable, Select, create_engine, event, func, select
from sqlalchemy.engine import make_url
from sqlalchemy.exc import InterfaceError, InternalError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from workers.store.adding import teach_to_add
from workers.store.private_files import make_private
from workers.store.quick import execute
from workers.store.rows import Query, StoredRow

if TYPE_CHECKING:
    from domain.ports import Clock

#: The database is away, overloaded or not migrated: wait and try again, nothing is wrong with the data. Orders stay in
#: the broker (``queue/tasks.py``), stages back off (``engine/claiming.py``), results of calls are kept until they can
#: be committed (``engine/commits.py``), callbacks go to the broker (``web/callbacks.py``), and HTTP answers 503.
UNAVAILABLE = (OperationalError, InterfaceError, InternalError, PoolTimeout)

#: Any error of a database.
ANY_FAILURE = SQLAlchemyError

SQLITE_WAIT_SECONDS = 10

#: PostgreSQL's codes. Its driver is imported only where it is used: commands on SQLite do without.
QUERY_CANCELED, LOCK_NOT_AVAILABLE = "57014", "55P03"

Given = ParamSpec("Given")
Found = TypeVar("Found")

_NOW = select(func.clock_timestamp())  #: made once: building it costs as much as running it


#: The column of ``with_now``.
_TOLD_NOW = "told_now"


def with_now(dialect: str, found: Select[Any]) -> Select[Any]:
    """The statement, and on PostgreSQL the time beside each row, for ``Database.now_of``: that saves a round trip."""
    return found.add_columns(func.clock_timestamp().label(_TOLD_NOW)) if dialect == "postgresql" else found


@functools.cache
def _now_and(found: Query) -> Executable:
    return select(func.clock_timestamp(), found.scalar_subquery())


def has_timed_out(error: BaseException) -> bool:
    """Whether a statement ran or waited too long. That may be its size: in smaller parts it may succeed."""
    return _state(error) in {QUERY_CANCELED, LOCK_NOT_AVAILABLE}


def may_be_its_own(error: BaseException) -> bool:
    """Whether one of ``UNAVAILABLE`` may be due to the work itself: it took too long, met a limit of PostgreSQL's or a
    damaged index. Such work is tried alone, so that it holds up no other."""
    return has_timed_out(error) or _state(error)[:2] in {"54", "XX"}


def first_line(error: BaseException) -> str:
    """Any error in one bounded line; a database's in its driver's own words. SQLAlchemy would add the statement and its
    parameters, and those hold the order."""
    return (str(getattr(error, "orig", None) or error).splitlines() or [type(error).__name__])[0][:300]


def is_locked_out(error: BaseException) -> bool:
    """Whether somebody else held a lock for longer than we wait: not due to the work itself."""
    return _state(error) == LOCK_NOT_AVAILABLE


def _state(error: BaseException) -> str:
    """PostgreSQL's code of an error, empty for one of SQLite's."""
    return getattr(getattr(error, "orig", None), "sqlstate", None) or ""


def without_password(url: str) -> str:
    """A database's address as it may be shown."""
    return make_url(url).render_as_string(hide_password=True)


class SystemClock:
    """The host's clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)


class Database:
    """An engine and the few things that differ between the two databases."""

    def __init__(self, url: str, *, clock: Clock | None = None, pool_size: int = 8) -> None:
        self._clock = clock or SystemClock()
        self.connections = pool_size  #: transactions at a time; one more waits for its turn
        self.is_postgresql = make_url(url).get_backend_name() == "postgresql"
        self.engine = _postgresql(url, pool_size) if self.is_postgresql else _sqlite(url, pool_size)

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """A writing transaction; on SQLite ``BEGIN IMMEDIATE`` (a read that turns into a write fails at once)."""
        with self.engine.begin() as connection:
            yield connection

    @contextmanager
    def single(self) -> Iterator[Connection]:
        """For one statement that writes: on PostgreSQL it is a transaction by itself, which saves the round trips of
        BEGIN and COMMIT; on SQLite as ``transaction``."""
        if self.is_postgresql:
            with self.engine.connect() as connection:
                yield connection.execution_options(isolation_level="AUTOCOMMIT")
        else:
            with self.transaction() as connection:
                yield connection

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that only reads: on SQLite it neither waits for a writer nor holds one up."""
        with self.engine.connect() as plain:
            connection = plain.execution_options(invoices_begin="BEGIN")
            with connection.begin():
                yield connection

    @contextmanager
    def snapshot(self) -> Iterator[Connection]:
        """The same, and all of its statements see one moment. For what is read in several and has to agree."""
        options = {"isolation_level": "REPEATABLE READ"} if self.is_postgresql else {"invoices_begin": "BEGIN"}
        with self.engine.connect() as plain:
            connection = plain.execution_options(**options)
            with connection.begin():
                yield connection

    def read(
        self, find: Callable[Concatenate[Connection, Given], Found], *args: Given.args, **kwargs: Given.kwargs
    ) -> Found:
        """What ``find`` returns, in a read-only transaction of its own. For callers outside the store, which see no
        connections."""
        with self.reading() as connection:
            return find(connection, *args, **kwargs)

    def time(self) -> datetime:
        """The time that decides, for callers that have no transaction open."""
        return self.read(self.now)

    @contextmanager
    def glancing(self) -> Iterator[Connection]:
        """For reads that need not agree with each other: on PostgreSQL each is a transaction by itself, which saves the
        round trips of BEGIN and COMMIT; on SQLite as ``reading``."""
        if self.is_postgresql:
            with self.engine.connect() as plain:
                connection = plain.execution_options(isolation_level="AUTOCOMMIT")
                with connection.begin():  # SQLAlchemy's own: nothing of it is sent, but ``execute`` is quick within it
                    yield connection
        else:
            with self.reading() as connection:
                yield connection

    def now(self, connection: Connection) -> datetime:
        """The time that decides: by PostgreSQL's clock at this very moment; on SQLite by the host's."""
        if self.is_postgresql:
            time: datetime = execute(connection, _NOW, {}).one()[0]
            return time.astimezone(UTC)
        return self._clock.now()

    def now_of(self, connection: Connection, rows: Sequence[StoredRow]) -> datetime:
        """The time that came with the first of the rows of a statement ``with_now``; without one, it is asked for."""
        if not rows or not self.is_postgresql:
            return self.now(connection)
        time: datetime = getattr(rows[0], _TOLD_NOW)
        return time.astimezone(UTC)

    def now_and(self, connection: Connection, found: Select[Found]) -> tuple[datetime, Found]:
        """The same, and the one value that a statement finds; on PostgreSQL in one round trip."""
        if self.is_postgresql:
            time, value = execute(connection, _now_and(found), {}).one()
            return time.astimezone(UTC), value
        return self.now(connection), connection.execute(found).scalar_one()

    def close(self) -> None:
        """Close every pooled connection."""
        self.engine.dispose()


def _postgresql(url: str, pool_size: int) -> Engine:
    from workers.store.postgresql import open_engine

    return open_engine(url, pool_size)


def _sqlite(url: str, pool_size: int) -> Engine:
    engine = create_engine(
        url,
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=SQLITE_WAIT_SECONDS,
        connect_args={"timeout": SQLITE_WAIT_SECONDS, "check_same_thread": False},
    )

    @event.listens_for(engine, "do_connect")
    def _keep_private(_dialect: object, _record: object, arguments: list[str], _named: object) -> None:
        if arguments and Path(arguments[0]).is_absolute():
            make_private(Path(arguments[0]))

    @event.listens_for(engine, "connect")
    def _prepare(connection: sqlite3.Connection, _record: object) -> None:
        connection.isolation_level = None  # the driver must not begin transactions by itself
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA synchronous=FULL")
        cursor.close()
        teach_to_add(connection)

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql(connection.get_execution_options().get("invoices_begin", "BEGIN IMMEDIATE"))

    return engine
