"""Whether a database is of this release: one small query, without importing what migrates."""

from __future__ import annotations

import functools
from pathlib import Path

from sqlalchemy import Connection, text
from sqlalchemy.exc import OperationalError, ProgrammingError

from workers.shipped import ROOT

MIGRATIONS = ROOT / "deploy" / "migrations"
NOT_MIGRATED = "the database is not migrated: run `invoices migrate`"
_UNDEFINED_TABLE = "42P01"  #: PostgreSQL's code


class MigrationsMissing(Exception):  # noqa: N818 - reads as what happened
    """This installation lacks its migrations."""


class SchemaTooOld(Exception):  # noqa: N818 - reads as what is the matter
    """The database is of an earlier release: this code would look for what is not there."""


def missing_migrations(folder: Path) -> MigrationsMissing:
    """There are none in this folder."""
    return MigrationsMissing(
        f"no migrations in {folder}: install invoices anew, from its wheel or in a clone by make .venv"
    )


def too_old(current: str, head: str) -> SchemaTooOld:
    """The database is at ``current``, this code's newest revision is ``head``."""
    return SchemaTooOld(
        f"the database is of another release, at revision {current}, and this one needs {head}: run `invoices migrate`"
    )


def require_release(connection: Connection) -> None:
    """Raise SchemaTooOld where this code can't read the database; a newer one is fine (deploy/decisions/0008)."""
    current = _current(connection)
    known = known_revisions()
    if current is None:
        raise SchemaTooOld(NOT_MIGRATED)
    if current != known[-1] and current in known:
        raise too_old(current, known[-1])


@functools.cache
def known_revisions() -> tuple[str, ...]:
    """Every revision of this release, oldest first, by the names of their files."""
    found = sorted(path.name.partition("_")[0] for path in (MIGRATIONS / "versions").glob("[0-9]*_*.py"))
    if not found:
        raise missing_migrations(MIGRATIONS)
    return tuple(found)


def _current(connection: Connection) -> str | None:
    try:
        return connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one_or_none()
    except (OperationalError, ProgrammingError) as error:
        if "no such table" in str(error.orig) or getattr(error.orig, "sqlstate", None) == _UNDEFINED_TABLE:
            return None
        raise
