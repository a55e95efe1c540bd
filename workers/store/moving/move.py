"""Moves a database: in one transaction of the target every table is copied, counted and read back.

If that is interrupted the target stays empty, so it is simply run again. The source is only read. Until the end it is
locked against writers: a process that was overlooked can't commit what would then be missing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, Table, delete, select, text

from workers.store.acts import Act, Actor, Deed, record
from workers.store.database import Database
from workers.store.moving.loading import MoveRefused, last_numbers, load, raise_counters
from workers.store.moving.reading import Tally, batches, tally
from workers.store.tables import INVOICE, LOG

#: Of PostgreSQL's sessions: copying takes longer than any statement of ours, and meanwhile the other one is idle.
_PATIENT = ("statement_timeout", "idle_in_transaction_session_timeout")
_WHICH = text("""
SELECT pg_postmaster_start_time()::text || ' ' || oid || ' ' || current_schema() FROM pg_database
WHERE datname = current_database()
""")
_SQLITE_FILE = text("SELECT file FROM pragma_database_list WHERE name = 'main'")

#: Told of a table, and how many more of its rows were copied or read back.
Told = Callable[[str, int], None]


@dataclass(frozen=True, slots=True)
class Moved:
    """A table that is at the target, as it was read back there."""

    table: str
    rows: int
    digest: str


def tables() -> list[Table]:
    """All of them: a new one is moved, too."""
    return INVOICE.metadata.sorted_tables


def move(source: Database, target: Database, actor: Actor, told: Told) -> list[Moved]:
    """Copy every row into ``target``: another database, migrated and empty. Returns the tables, without the operator's
    act. Raises MoveRefused: nothing was changed then.
    """
    every = tables()
    # On SQLite both are BEGIN IMMEDIATE: nobody else writes meanwhile.
    with source.transaction() as reading, target.transaction() as writing:
        for connection in (reading, writing):
            _be_patient(connection)
        _lock(reading, every, "SHARE")  # readers go on
        _lock(writing, every, "EXCLUSIVE")
        require_empty(writing, every)
        moved = [_move_table(reading, writing, table, told) for table in every]
        raise_counters(writing, every, last_numbers(reading, every))
        _record(writing, target, actor, source, moved)
        if target.is_postgresql:  # otherwise its first plans would be made for empty tables
            writing.execute(text(f"ANALYZE {_listed(every)}"))
    return moved


def _move_table(reading: Connection, writing: Connection, table: Table, told: Told) -> Moved:
    """Raises MoveRefused where what is read back is not what was read."""
    if table is LOG:  # the migrations have written its one row
        writing.execute(delete(LOG))
    read = Tally()
    for rows in batches(reading, table):
        read.add(rows)
        load(writing, table, rows)
        told(table.name, len(rows))
    there = tally(writing, table, lambda rows: told(table.name, rows))
    if there != read:
        sent, back = (f"{one.rows} rows with digest {one.digest}" for one in (read, there))
        raise MoveRefused(f"{table.name}: {sent} were sent, {back} came back: the target's disk or server is at fault")
    return Moved(table.name, there.rows, there.digest)


def _record(writing: Connection, target: Database, actor: Actor, source: Database, moved: Sequence[Moved]) -> None:
    kind = "PostgreSQL" if source.is_postgresql else "SQLite"
    deed = Deed(act=Act.MOVED, before={"database": kind}, after={"rows": sum(one.rows for one in moved)})
    record(writing, target, actor, [deed])


# --- what must be so --------------------------------------------------------------------------------------------------


def _be_patient(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":
        for name in _PATIENT:
            connection.execute(text("SELECT set_config(:name, '0', true)"), {"name": name})


def which(connection: Connection) -> str:
    """Tells two databases apart, however they are addressed."""
    query = _WHICH if connection.dialect.name == "postgresql" else _SQLITE_FILE
    return str(connection.execute(query).scalar_one())


def _lock(connection: Connection, every: Sequence[Table], mode: str) -> None:
    """Whoever writes right now is waited for, shortly."""
    if connection.dialect.name == "postgresql":
        connection.execute(text(f"LOCK TABLE {_listed(every)} IN {mode} MODE"))


def require_empty(connection: Connection, every: Sequence[Table]) -> None:
    """Only what the migrations write may be there. Raises MoveRefused."""
    for table in every:
        # Keys only: a table of an earlier release may lack other columns.
        query = select(*table.primary_key.columns).limit(1)
        query = query.where((LOG.c.newest != 0) | (LOG.c.removed != 0)) if table is LOG else query
        if connection.execute(query).first() is not None:
            raise MoveRefused(f"the target is not empty, {table.name} has rows: give a database that nobody has used")


def _listed(every: Sequence[Table]) -> str:
    return ", ".join(f'"{table.name}"' for table in every)
