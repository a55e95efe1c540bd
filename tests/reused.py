"""Migrated PostgreSQL databases that one test after the other gets: a server copies one in a tenth of a second of its
time, and empties one in a hundredth."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Any

import psycopg
from psycopg import sql

from tests.engines import new_postgres_database

#: What a test may leave in a database beside rows: a changed or added column, index, trigger, right or setting, pages.
#: A row of a catalogue has the number of the transaction that wrote it. ANALYZE changes what plans are made from.
SHAPE = "SELECT " + ", ".join(
    [
        *(
            f"(SELECT (count(*), max(xmin::text::bigint))::text FROM {catalogue})"
            for catalogue in (
                "pg_attrdef",
                "pg_attribute WHERE attrelid >= 16384",  # the first number that is not PostgreSQL's own
                "pg_class",
                "pg_constraint",
                "pg_db_role_setting",
                "pg_default_acl",
                "pg_index",
                "pg_namespace",
                "pg_proc",
                "pg_trigger",
            )
        ),
        "(SELECT (sum(relpages), sum(reltuples))::text FROM pg_class WHERE relnamespace = 'public'::regnamespace)",
        "(SELECT (datacl, datconnlimit)::text FROM pg_database WHERE datname = current_database())",
    ]
)
SIZE = "SELECT pg_database_size(current_database())"
OTHERS = """
    SELECT (SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()
            AND backend_type = 'client backend')
        + (SELECT count(*) FROM pg_prepared_xacts WHERE database = current_database())
"""
TABLES = "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace ORDER BY 1"
NUMBERS = "SELECT sequencename, coalesce(last_value, start_value), last_value IS NOT NULL FROM pg_sequences"
COUNT_AGAIN = """
    SELECT setval(quote_ident(name)::regclass, newest, given)
    FROM unnest(%s::text[], %s::bigint[], %s::boolean[]) AS numbers (name, newest, given)
"""

GROWTH_BYTES = 4_000_000  #: more than this and copying is cheaper than emptying, and plans are made for a large table
LEAVE_SECONDS = 0.5  #: for what the test has closed; who stays longer may write into the next test's database


class Reused:
    """Databases of one server, all copies of one template."""

    def __init__(self, server_url: str, template: str) -> None:
        self._server_url = server_url
        self._template = template
        self._free: list[Lent] = []

    @contextlib.contextmanager
    def lend(self) -> Iterator[str]:
        """The URL of a database like the template. Afterwards it is emptied for the next test, or dropped."""
        lent = self._free.pop() if self._free else Lent(self._server_url, self._template)
        try:
            yield lent.url
        finally:
            if lent.is_empty_again():
                self._free.append(lent)
            else:
                lent.drop()

    def close(self) -> None:
        """Drop them all."""
        while self._free:
            self._free.pop().drop()


class Lent:
    """One of them, and what it was like when it was new."""

    def __init__(self, server_url: str, template: str) -> None:
        self._database = new_postgres_database(server_url, template)
        self.url = self._database.__enter__()
        plain = self.url.replace("postgresql+psycopg://", "postgresql://", 1)
        self._connection = connection = psycopg.connect(plain)  # kept: a new one costs the server 10 ms
        self._shape = connection.execute(SHAPE).fetchone()
        self._bytes = _bytes(connection)
        self._tables = [name for (name,) in connection.execute(TABLES)]
        self._rows = {name: rows for name in self._tables if (rows := _copied(connection, name))}
        self._numbers = [list(column) for column in zip(*connection.execute(NUMBERS), strict=True)]
        connection.commit()

    def is_empty_again(self) -> bool:
        """Removes the rows, where nothing else was changed and nobody is connected any more; false otherwise."""
        connection = self._connection
        try:
            if not _is_left(connection) or connection.execute(SHAPE).fetchone() != self._shape:
                return False
            if _bytes(connection) > self._bytes + GROWTH_BYTES:
                return False
            self._empty(connection)
            connection.commit()
        except psycopg.Error:  # whatever the test did to it or to its server
            return False
        return True

    def _empty(self, connection: psycopg.Connection[Any]) -> None:
        """Every table has the rows, and every sequence the number, that it had when the database was new."""
        emptied = [sql.SQL("DELETE FROM {}").format(sql.Identifier(name)) for name in self._tables]
        connection.execute(sql.SQL(";").join(emptied))
        for name, rows in self._rows.items():
            with connection.cursor().copy(sql.SQL("COPY {} FROM STDIN").format(sql.Identifier(name))) as copy:
                copy.write(rows)
        connection.execute(COUNT_AGAIN, self._numbers)

    def drop(self) -> None:
        """It is gone, whoever is connected."""
        self._connection.close()
        self._database.__exit__(None, None, None)


def _bytes(connection: psycopg.Connection[Any]) -> int:
    (found,) = connection.execute(SIZE).fetchone() or (0,)
    return int(found)


def _copied(connection: psycopg.Connection[Any], table: str) -> bytes:
    with connection.cursor().copy(sql.SQL("COPY {} TO STDOUT").format(sql.Identifier(table))) as copy:
        return b"".join(bytes(part) for part in copy)


def _is_left(connection: psycopg.Connection[Any]) -> bool:
    """Whether everybody has gone: a server needs a moment to notice that a connection was closed."""
    ends = time.monotonic() + LEAVE_SECONDS
    while connection.execute(OTHERS).fetchone() != (0,):
        connection.rollback()  # what is seen of others stays the same within a transaction
        if time.monotonic() > ends:
            return False
        time.sleep(0.005)
    return True
