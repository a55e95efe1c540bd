"""Running migrations: by one process at a time, while workers work."""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import structlog
from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import OperationalError

from workers.store.database import Database
from workers.store.grants import grant, known_roles, lacking
from workers.store.reads.server import is_pooled
from workers.store.release import MIGRATIONS, missing_migrations, read_standing

log = structlog.get_logger()

Result = TypeVar("Result")

#: Any number, the same in every release: whoever holds this PostgreSQL advisory lock migrates, the others wait.
_MIGRATION_LOCK = 4_705_326_118

#: How long a migration waits for a lock on a table. Whatever comes after it queues behind it, workers included.
LOCK_SECONDS = 1.0
#: Between two tries, when workers have the table to themselves.
REST_SECONDS = 2.0
#: How long a migration tries before it gives up.
PATIENCE_SECONDS = 300.0
#: PostgreSQL: no lock within ``LOCK_SECONDS``, or in a deadlock. SQLite: another writer for longer than it waits.
_LOCKED_STATES = {"55P03", "40P01"}
#: A migration may take long. Its name is shown to others that wait for it.
_AS_MIGRATION = (
    "SELECT set_config('statement_timeout', '0', false), set_config('application_name', 'invoices migrate', false)"
)
_LOCK_HOLDER = """
SELECT pid, activity.application_name AS name, coalesce(host(activity.client_addr), 'this host') AS host,
       coalesce(activity.state, 'unknown') AS state
FROM pg_locks LEFT JOIN pg_stat_activity AS activity USING (pid)
WHERE locktype = 'advisory' AND granted AND objsubid = 1
  AND (classid::bigint << 32) | objid::bigint = :lock
  AND pg_locks.database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""
#: Alembic keeps its context in module variables: one migration at a time in a process.
_IN_PROCESS = threading.Lock()


class MigrationRefused(Exception):  # noqa: N818 - reads as what happened
    """Somebody held a table, or migrated, for too long. The revisions before stay; run it again."""


def upgrade(
    database_url: str, *, folder: Path = MIGRATIONS, to: str = "head", patience_seconds: float = PATIENCE_SECONDS
) -> tuple[str | None, str]:
    """Bring the database to the newest revision, or to ``to``; returns the one before and the one after.

    Safe when run by several processes at once, and when killed: one migrates, the others wait for it and find nothing
    to do; each revision is a transaction of its own. A database of a newer release is left as it is. Raises
    MigrationsMissing, MigrationRefused and what ``UNAVAILABLE`` names.
    """
    make_folder(database_url)
    until = time.monotonic() + patience_seconds
    database = Database(database_url, pool_size=2)
    try:
        if database.is_postgresql and is_pooled(database):
            raise MigrationRefused(
                "a pooler hands out transactions, and migrating takes a session: name PostgreSQL itself in "
                "INVOICES_DATABASE_URL for this command"
            )
        # Whoever opens a new SQLite file first switches it to WAL; others find it locked meanwhile.
        opened = _insist("the first look", until, database.engine.connect)
        with _IN_PROCESS, opened as connection, _alone(connection, database.is_postgresql, until):
            return _upgrade(connection, folder, to, until)
    finally:
        database.close()


def _upgrade(connection: Connection, folder: Path, to: str, until: float) -> tuple[str | None, str]:
    standing = _insist("the first look", until, lambda: read_standing(connection, folder))
    connection.rollback()
    after = standing.current
    if standing.relation != "newer":
        for revision in _missing(folder, standing.current, to):
            log.info("migration.begun", revision=revision)
            _insist(f"revision {revision}", until, functools.partial(_migrate, connection, folder, revision))
            after = revision
    if after == standing.head:
        _insist("the roles", until, functools.partial(_grant, connection, changed=after != standing.current))
    return standing.current, str(after)


def _grant(connection: Connection, *, changed: bool) -> None:
    """A new table must not be out of reach for processes with roles of their own: see ``workers/store/grants.py``."""
    with connection.begin():
        if (changed or lacking(connection)) and grant(connection):
            log.info("migration.granted", roles=known_roles(connection))


# --- one after the other ----------------------------------------------------------------------------------------------


@contextmanager
def _alone(connection: Connection, is_postgresql: bool, until: float) -> Iterator[None]:
    """Only one process migrates. On SQLite each revision's BEGIN IMMEDIATE is the lock, and the second finds it done.

    On PostgreSQL the lock is polled, not waited for: a waiting statement holds a snapshot, and a concurrent index build
    waits for all of those, so the two would deadlock. Raises MigrationRefused in the end: the holder of the lock may
    hang.
    """
    if not is_postgresql:
        yield
        return
    connection.execute(text(_AS_MIGRATION))
    connection.commit()
    told = False
    while not _try_lock(connection):
        holder = _holder(connection)
        if time.monotonic() >= until:
            raise MigrationRefused(
                f"{holder} has been migrating for too long: wait for it or end it, then run it again"
            )
        if not told:
            log.info("migration.waiting", consequence="another process migrates", holder=holder)
        told = True
        time.sleep(0.2)
    try:
        yield
    finally:  # the connection is closed after this, which releases the lock, as a kill does
        connection.rollback()


def _try_lock(connection: Connection) -> bool:
    taken = connection.execute(text("SELECT pg_try_advisory_lock(:lock)"), {"lock": _MIGRATION_LOCK}).scalar_one()
    connection.commit()
    return bool(taken)


def _holder(connection: Connection) -> str:
    """Who migrates, as PostgreSQL knows it."""
    row = connection.execute(text(_LOCK_HOLDER), {"lock": _MIGRATION_LOCK}).one_or_none()
    connection.commit()
    if row is None:  # it has just ended, or PostgreSQL hides other users' sessions
        return "another process"
    return f"PostgreSQL's process {row.pid} ({row.name or 'without a name'}, from {row.host}, {row.state})"


def _insist(what: str, until: float, do: Callable[[], Result]) -> Result:
    """Do it, and repeat it while somebody holds a table. Raises MigrationRefused in the end."""
    while True:
        try:
            return do()
        except OperationalError as error:
            if not _is_locked(error):
                raise
            if time.monotonic() >= until:
                raise MigrationRefused(
                    f"{what}: a table stayed locked by others: end long transactions, then run it again"
                ) from error
            log.warning("migration.locked_out", at=what, again_in_seconds=REST_SECONDS)
        time.sleep(min(REST_SECONDS, max(0.0, until - time.monotonic())))


def _migrate(connection: Connection, folder: Path, revision: str) -> None:
    """Run one revision; does nothing where another process was faster: Alembic checks inside the transaction."""
    if connection.dialect.name == "postgresql":  # each time: a migration may have changed it
        lock_milliseconds = f"{LOCK_SECONDS * 1000:.0f}"
        connection.execute(text("SELECT set_config('lock_timeout', :ms, false)"), {"ms": lock_milliseconds})
        connection.commit()
    config, scripts = _config(folder), _scripts(folder)
    config.attributes["connection"] = connection

    def steps(at: Any, _: MigrationContext) -> Any:
        return scripts._upgrade_revs(revision, at)

    try:
        # As Alembic's documents show; its `command.upgrade` would read every revision's file again for each revision.
        with EnvironmentContext(config, scripts, fn=steps, destination_rev=revision):
            scripts.run_env()
    finally:
        connection.rollback()  # what it failed in; after a success there is nothing left


def _is_locked(error: OperationalError) -> bool:
    state = getattr(error.orig, "sqlstate", None)
    return state in _LOCKED_STATES if state else "database is locked" in str(error.orig)


# --- this code's revisions --------------------------------------------------------------------------------------------


def revisions(folder: Path = MIGRATIONS) -> list[str]:
    """Every revision, oldest first."""
    return [script.revision for script in _scripts(folder).walk_revisions()][::-1]


def _missing(folder: Path, current: str | None, to: str) -> list[str]:
    """What is to be run, oldest first; nothing for a database that is beyond ``to``."""
    every = revisions(folder)
    last = len(every) if to == "head" else every.index(to) + 1
    return every[(0 if current is None else every.index(current) + 1) : last]


@functools.cache
def _scripts(folder: Path) -> ScriptDirectory:
    """This code's revisions: read once by a process, since each is a Python file."""
    return ScriptDirectory.from_config(_config(folder))


def _config(folder: Path) -> Config:
    if not (folder / "env.py").is_file():
        raise missing_migrations(folder)
    config = Config()
    config.set_main_option("script_location", str(folder).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


def make_folder(database_url: str) -> None:
    """SQLite makes its file, but not the folder around it. Raises OSError."""
    url = make_url(database_url)
    if url.get_backend_name() == "sqlite" and url.database and url.database != ":memory:":
        folder = Path(url.database).parent
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
