"""Whether a database is of this release: one small query, without importing what migrates."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

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


@dataclass(frozen=True, slots=True)
class Standing:
    """The revision a database is at (None: never migrated), this code's newest one, and how they compare.

    ``newer``: the database is at a revision that this code does not know. It was migrated for the next release, and
    this one works on it (deploy/decisions/0008).
    """

    current: str | None
    head: str
    relation: Literal["unmigrated", "older", "current", "newer"]


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


def require_release(connection: Connection, folder: Path = MIGRATIONS) -> Standing:
    """How the database and this code's migrations compare. Raises SchemaTooOld where this code can't work on it."""
    standing = read_standing(connection, folder)
    if standing.relation == "unmigrated":
        raise SchemaTooOld(NOT_MIGRATED)
    if standing.relation == "older":
        raise too_old(str(standing.current), standing.head)
    return standing


def read_standing(connection: Connection, folder: Path = MIGRATIONS) -> Standing:
    """How the database and this code's migrations compare."""
    known = known_revisions(folder)
    current = _current(connection)
    if current is None:
        return Standing(None, known[-1], "unmigrated")
    if current == known[-1]:
        return Standing(current, known[-1], "current")
    return Standing(current, known[-1], "older" if current in known else "newer")


@functools.cache
def known_revisions(folder: Path = MIGRATIONS) -> tuple[str, ...]:
    """Every revision of this release, oldest first, by the names of their files."""
    found = sorted(path.name.partition("_")[0] for path in (folder / "versions").glob("[0-9]*_*.py"))
    if not found:
        raise missing_migrations(folder)
    return tuple(found)


def _current(connection: Connection) -> str | None:
    try:
        return connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one_or_none()
    except (OperationalError, ProgrammingError) as error:
        if "no such table" in str(error.orig) or getattr(error.orig, "sqlstate", None) == _UNDEFINED_TABLE:
            return None
        raise
