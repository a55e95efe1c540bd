"""The database's shape: migrations to run, and how far they have run."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, text
from sqlalchemy.engine import make_url

from workers.store.database import Database

MIGRATIONS = Path(__file__).resolve().parents[2] / "deploy" / "migrations"
#: Any number, the same in every release: whoever holds this PostgreSQL advisory lock migrates, the others wait.
_MIGRATION_LOCK = 4_705_326_118


class MigrationsMissing(Exception):  # noqa: N818 - reads as what happened
    """The folder of migrations is not where the project was installed from."""


def upgrade(database_url: str) -> tuple[str | None, str]:
    """Bring the database to the newest revision; returns the one before and the one after.

    Safe when run by several processes at once: one migrates, the others wait for it and find nothing to do. All of it
    is one transaction. Raises MigrationsMissing and what ``UNAVAILABLE`` names.
    """
    _make_folder(database_url)
    database = Database(database_url, pool_size=1)
    try:
        with database.transaction() as connection:  # on SQLite BEGIN IMMEDIATE: the second one waits here
            if database.is_postgresql:
                connection.execute(text("SET LOCAL statement_timeout = 0"))
                connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _MIGRATION_LOCK})
            before, head = _current(connection), _head()
            if before != head:
                config = _config()
                config.attributes["connection"] = connection
                command.upgrade(config, "head")
            return before, head
    finally:
        database.close()


def current_and_head(database: Database) -> tuple[str | None, str]:
    """The revision the database is at (None: never migrated) and the newest one there is."""
    with database.reading() as connection:
        return _current(connection), _head()


def _current(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one_or_none()


def _head() -> str:
    head = ScriptDirectory.from_config(_config()).get_current_head()
    if head is None:
        raise MigrationsMissing(f"no migrations in {MIGRATIONS}: install the project from its folder (make .venv)")
    return head


def _config() -> Config:
    if not (MIGRATIONS / "env.py").is_file():
        raise MigrationsMissing(f"no migrations in {MIGRATIONS}: install the project from its folder (make .venv)")
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


def _make_folder(database_url: str) -> None:
    """SQLite makes its file, but not the folder around it."""
    url = make_url(database_url)
    if url.get_backend_name() == "sqlite" and url.database and url.database != ":memory:":
        Path(url.database).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
