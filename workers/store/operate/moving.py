"""Moves everything into another database, once nobody works on this one any more."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass

from sqlalchemy import Connection, inspect, select
from sqlalchemy.exc import DBAPIError

from domain.why.processes import Crew, Process
from workers.store.acts import Actor
from workers.store.database import Database
from workers.store.moving.loading import MoveRefused
from workers.store.moving.move import Moved, Told, move, require_empty, tables, which
from workers.store.moving.reading import count
from workers.store.release import read_standing
from workers.store.schema import make_folder, upgrade
from workers.store.tables import AGENDA, PROCESS

__all__ = ["MoveRefused", "Moved", "Source", "move_into", "processes_seen", "survey"]


@dataclass(frozen=True, slots=True)
class Source:
    """What is to be moved."""

    rows: int
    leases: int  #: of workers that died: they run out at the target as they would here


def survey(source: Database) -> Source:
    """What is there. Raises MoveRefused for a database of another release."""
    standing = source.read(read_standing)
    if standing.relation == "unmigrated":
        raise MoveRefused("this database was never migrated: there is nothing to move")
    if standing.relation != "current":
        raise MoveRefused(
            f"this database is at revision {standing.current}, this release's is {standing.head}: "
            + ("move it with the newer release" if standing.relation == "newer" else "run `invoices migrate` first")
        )
    return source.read(_survey)


def _survey(connection: Connection) -> Source:
    leases = select(AGENDA.c.subject).where(AGENDA.c.lease_token.is_not(None))
    return Source(count(connection, tables()), len(connection.execute(leases).all()))


def processes_seen(source: Database) -> list[Process]:
    """Those that may still run: each was seen lately."""
    with source.reading() as connection:
        rows = connection.execute(select(PROCESS.c.role, PROCESS.c.name, PROCESS.c.seen_at)).all()
        crew = Crew(source.now(connection), [Process(row.role, row.name, row.seen_at) for row in rows])
    return [process for role in sorted({row.role for row in rows}) for process in crew.alive(role)]


def move_into(source: Database, target_url: str, actor: Actor, told: Told) -> list[Moved]:
    """Migrate the target, which is empty or was never migrated, and move everything into it. Raises MoveRefused."""
    with closing(Database(target_url, pool_size=2)) as target:
        _require_unused(source, target)
    upgrade(target_url)
    with closing(Database(target_url, pool_size=2)) as target:
        return move(source, target, actor, told)


def _require_unused(source: Database, target: Database) -> None:
    """Before anything is migrated there: it may be somebody's."""
    try:
        make_folder(target.engine.url.render_as_string(hide_password=False))
        found = target.read(which)
    except OSError as error:
        raise MoveRefused(f"the target can't be made: {error.filename}: {error.strerror}") from error
    except DBAPIError as error:
        raise MoveRefused(f"the target can't be used: {' '.join(str(error.orig).split())}") from error
    if found == source.read(which):
        raise MoveRefused("the target is the database that is to be moved")
    standing = target.read(read_standing)
    if standing.relation == "newer":
        raise MoveRefused(f"the target is at revision {standing.current}, which this release does not know")
    target.read(_require_no_rows)


def _require_no_rows(connection: Connection) -> None:
    """In as many of our tables as there are: an earlier move may have been killed while it migrated."""
    there = set(inspect(connection).get_table_names())
    require_empty(connection, [table for table in tables() if table.name in there])
