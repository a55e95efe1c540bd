"""An outsider's transaction that stays open and holds locks: an operator's forgotten session, a long report, a dump."""

from __future__ import annotations

import contextlib

from sqlalchemy import Connection, create_engine, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

#: What is locked, by the names of ``plan.LOCKS``; ``database``: SQLite's one lock.
STATEMENTS = {
    "endpoints": "SELECT id FROM endpoint FOR UPDATE",
    "invoices": "SELECT id FROM invoice ORDER BY id DESC LIMIT 30 FOR UPDATE SKIP LOCKED",
    "calls": "SELECT subject FROM agenda WHERE lease_token IS NOT NULL AND stage <> 'publish' LIMIT 30 "
    "FOR UPDATE SKIP LOCKED",
    "stream": "SELECT subject FROM agenda WHERE stage = 'publish' FOR UPDATE",
    "database": "UPDATE agenda SET claims = claims WHERE false",
}
#: Who gets no lock within this time does without.
WAIT_SECONDS = 2


class Outsider:
    """Holds what it has locked until ``end``."""

    def __init__(self, url: str) -> None:
        self._engine = create_engine(url, poolclass=NullPool)
        self._connection: Connection | None = None

    def lock(self, what: str) -> int | None:
        """How many rows it holds now; None where it got no lock, or the database is away."""
        is_sqlite = self._engine.dialect.name == "sqlite"
        try:
            connection = self._connection = self._engine.connect()
            wait = (
                f"PRAGMA busy_timeout={WAIT_SECONDS * 1000}" if is_sqlite else f"SET lock_timeout = '{WAIT_SECONDS}s'"
            )
            connection.exec_driver_sql(wait)
            if is_sqlite:
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            found = connection.execute(text(STATEMENTS[what]))
            return len(found.all()) if found.returns_rows else 1
        except DBAPIError:
            self.end()
            return None

    def end(self) -> None:
        """Let go; a database that was killed meanwhile has done so already."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(DBAPIError):
                connection.rollback()
            connection.close()
