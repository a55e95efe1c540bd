"""The database server: whether it can be written to, how full it is, who keeps locks."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Connection, text, update

from domain.decision import Stage
from workers.store.agenda import RETAIN_LANE
from workers.store.database import Database
from workers.store.session import lasting_settings
from workers.store.tables import AGENDA

_SERVER = text("""
SELECT pg_is_in_recovery() AS is_standby,
       (SELECT coalesce(sum(numbackends), 0) FROM pg_stat_database) AS connections,
       current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int AS most
""")
# Of this database, without ourselves. Plain reads have locks too, but those hold up migrations only.
_HOLDERS = text("""
SELECT activity.pid, coalesce(nullif(activity.application_name, ''), 'without a name') AS name,
       coalesce(host(activity.client_addr), 'this host') AS host, activity.state, activity.xact_start AS since,
       (SELECT count(*) FROM pg_stat_activity AS waiting WHERE activity.pid = ANY (pg_blocking_pids(waiting.pid)))
           AS waiting
FROM pg_stat_activity AS activity
WHERE activity.datname = current_database() AND activity.pid <> pg_backend_pid()
  AND activity.xact_start < clock_timestamp() - make_interval(secs => :seconds)
  AND EXISTS (SELECT FROM pg_locks WHERE pg_locks.pid = activity.pid AND granted
              AND mode IN ('RowShareLock', 'RowExclusiveLock', 'ShareUpdateExclusiveLock', 'ShareLock',
                           'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
              AND locktype = 'relation')
ORDER BY activity.xact_start
LIMIT 10
""")
# What a session begins with, by its role, its database or the server, before anything is set on it.
_DEFAULTS = text("SELECT name, reset_val FROM pg_catalog.pg_settings WHERE name = ANY(:names)")


@dataclass(frozen=True, slots=True)
class Server:
    """PostgreSQL's own state."""

    is_standby: bool
    connections: int
    most_connections: int  #: with as many, only superusers can connect


@dataclass(frozen=True, slots=True)
class Holder:
    """A session that has kept something locked for long; ``waiting``: how many sessions wait for it now."""

    pid: int
    name: str
    host: str
    state: str
    since: datetime
    waiting: int


def read_server(connection: Connection) -> Server:
    """On PostgreSQL."""
    row = connection.execute(_SERVER).one()
    return Server(row.is_standby, int(row.connections), row.most)


def read_holders(connection: Connection, seconds: float) -> list[Holder]:
    """On PostgreSQL: sessions that have had locks for longer than this, as far as PostgreSQL shows us other users'."""
    return [Holder(**row._mapping) for row in connection.execute(_HOLDERS, {"seconds": seconds})]


def read_skew(connection: Connection, database: Database) -> float:
    """Seconds that this host's clock is ahead of the database's."""
    began = time.monotonic()
    theirs = database.now(connection)
    return (datetime.now(UTC) - theirs).total_seconds() - (time.monotonic() - began) / 2


def try_to_write(database: Database) -> None:
    """A write that changes nothing. Raises the driver's error where the database takes no writes."""
    row = (AGENDA.c.stage == Stage.RETAIN.value) & (AGENDA.c.subject == RETAIN_LANE)
    with database.transaction() as connection:
        connection.execute(update(AGENDA).where(row).values(pokes=AGENDA.c.pokes))


def is_pooled(database: Database) -> bool:
    """Whether a pooler in between shares sessions by transaction: two clients take turns in the same session."""
    ask = text("SELECT pg_catalog.pg_backend_pid()")
    with database.engine.connect() as first, database.engine.connect() as second:
        session = first.execute(ask).scalar_one()
        first.rollback()
        return bool(second.execute(ask).scalar_one() == session)


def read_odd_defaults(connection: Connection) -> list[str]:
    """On PostgreSQL: the settings that we rely on and that a new session of this role would not have by itself."""
    wanted = lasting_settings()
    found = {row.name: row.reset_val for row in connection.execute(_DEFAULTS, {"names": list(wanted)})}
    stronger = ("synchronous_commit", "remote_apply")
    return sorted(name for name, value in found.items() if value != wanted[name] and (name, value) != stronger)
