"""What is known of the database's clock: when it was last found right, and how far it was set."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, Executable, bindparam, select, update

from domain.timekeeping import TRUSTED_SECONDS
from workers.store.bulk import insert_into
from workers.store.database import Database, with_now
from workers.store.quick import execute
from workers.store.rows import StoredRow
from workers.store.tables import CLOCK

NAME = "database"

_ROW = select(CLOCK).where(CLOCK.c.name == NAME)
_LOCKED = _ROW.with_for_update(skip_locked=True)
_SEEN_AT = select(CLOCK.c.seen_at).where(CLOCK.c.name == NAME)
_TRUSTED = timedelta(seconds=TRUSTED_SECONDS)


class ClockInDoubt(Exception):  # noqa: N818 - reads as what happened
    """Nobody has found the clock right lately: what looks like the end of a lease may be a clock that was set."""


@dataclass(frozen=True, slots=True)
class ClockState:
    """The row, its spans as timedeltas."""

    seen_at: datetime
    stepped_at: datetime | None
    stepped_by: timedelta | None
    moving_by: timedelta | None  #: by how much waits are being moved
    moved_to: tuple[str, str]  #: (stage, subject) of the last agenda row that was


def read_clock(connection: Connection) -> ClockState | None:
    """The row; None before anybody has looked at the clock."""
    return _state(connection.execute(_ROW).one_or_none())


def look_at_clock(connection: Connection, database: Database) -> tuple[ClockState | None, datetime]:
    """The row, and the database's time, in one round trip."""
    rows = execute(connection, _row_and_now(connection.dialect.name), {}).all()
    return _state(rows[0] if rows else None), database.now_of(connection, rows)


@functools.cache
def _row_and_now(dialect: str) -> Executable:
    return with_now(dialect, _ROW)


def lock_clock(connection: Connection, now: datetime) -> ClockState | None:
    """The row, locked; made where there is none. None while somebody else has it locked: they do what is to be done."""
    row = connection.execute(_LOCKED).one_or_none()
    if row is None and connection.execute(_SEEN_AT).one_or_none() is None:
        connection.execute(insert_into(connection, CLOCK).values(name=NAME, seen_at=now).on_conflict_do_nothing())
        row = connection.execute(_LOCKED).one_or_none()
    return _state(row)


def write_clock(connection: Connection, **values: object) -> None:
    """Change the row; time spans are kept as microseconds."""
    kept = {name: _microseconds(value) if isinstance(value, timedelta) else value for name, value in values.items()}
    execute(connection, _write(tuple(kept)), kept)


@functools.cache
def _write(names: tuple[str, ...]) -> Executable:
    return update(CLOCK).where(CLOCK.c.name == NAME).values({name: bindparam(name) for name in names})


def is_trusted(connection: Connection, at: datetime) -> bool:
    """Whether somebody found the clock right shortly before ``at``, a moment of this transaction. Where nobody keeps
    the time at all (there is no row), it is trusted.

    To find it right after ``at`` does not count: leases may have been repaired since this transaction read its rows.
    """
    seen_at: datetime | None = connection.execute(_SEEN_AT).scalar_one_or_none()
    return seen_at is None or timedelta(0) <= at - seen_at <= _TRUSTED


def _state(row: StoredRow | None) -> ClockState | None:
    if row is None:
        return None
    stage, _, subject = (row.moved_to or "").partition("/")
    return ClockState(row.seen_at, row.stepped_at, _span(row.stepped_by), _span(row.moving_by), (stage, subject))


def _span(microseconds: int | None) -> timedelta | None:
    return None if microseconds is None else timedelta(microseconds=microseconds)


def _microseconds(span: timedelta) -> int:
    return span // timedelta(microseconds=1)
