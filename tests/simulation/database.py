"""One database for all hosts: SQLite in memory with the real schema, a recorder inside, and faults at every step.

Triggers write down what no code under test can leave out: every change of a status, and whoever freed a lease that was
somebody else's.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.exc import OperationalError

from domain.timekeeping import TOLERANCE_SECONDS, TRUSTED_SECONDS
from tests.migrated import migrated_file
from tests.simulation.loop import Died
from tests.simulation.statements import Statements
from workers.store.database import Database

START = datetime(2026, 11, 21, 20, 0, tzinfo=UTC)

#: A clock that is set ahead by less may end a lease so much too early.
SLACK_SECONDS = TRUSTED_SECONDS + TOLERANCE_SECONDS

RECORDER = """
CREATE TABLE sim_history (
    invoice_id TEXT, was TEXT, status TEXT, old_sequence INTEGER, sequence INTEGER,
    at REAL, expires_at TEXT, reason TEXT
);
CREATE TABLE sim_breach (stage TEXT, subject TEXT, what TEXT);
CREATE TABLE sim_claim (stage TEXT, subject TEXT, at REAL);
CREATE TABLE sim_told (number INTEGER, at REAL, told_at REAL);
CREATE TABLE sim_placed (event_number INTEGER, at REAL);
CREATE TRIGGER sim_written AFTER INSERT ON event BEGIN
    INSERT INTO sim_told VALUES (NEW.number, sim_now(), NULL);
END;
CREATE TRIGGER sim_published AFTER UPDATE OF published_at ON event WHEN OLD.published_at IS NULL BEGIN
    UPDATE sim_told SET told_at = sim_now() WHERE number = NEW.number;
END;
CREATE TRIGGER sim_positioned AFTER INSERT ON event_position BEGIN
    INSERT INTO sim_placed VALUES (NEW.event_number, sim_now());
END;
CREATE TRIGGER sim_queued AFTER INSERT ON invoice BEGIN
    INSERT INTO sim_history VALUES (NEW.id, NULL, NEW.status, 0, NEW.sequence, sim_now(), NULL, NULL);
END;
CREATE TRIGGER sim_changed AFTER UPDATE OF status ON invoice BEGIN
    INSERT INTO sim_history VALUES (
        NEW.id, OLD.status, NEW.status, OLD.sequence, NEW.sequence, sim_now(), NEW.expires_at, NEW.reason);
END;
CREATE TRIGGER sim_claimed AFTER UPDATE OF lease_token ON agenda
WHEN NEW.lease_token IS NOT NULL AND NEW.lease_token IS NOT OLD.lease_token BEGIN
    INSERT INTO sim_claim VALUES (NEW.stage, NEW.subject, sim_now());
    INSERT INTO sim_breach SELECT OLD.stage, OLD.subject, 'taken while it was held'
        WHERE sim_takes(NEW.lease_token, NEW.due_at, OLD.lease_token, OLD.due_at);
END;
CREATE TRIGGER sim_taken AFTER INSERT ON agenda
WHEN NEW.lease_token IS NOT NULL BEGIN
    INSERT INTO sim_claim VALUES (NEW.stage, NEW.subject, sim_now());
    SELECT sim_takes(NEW.lease_token, NEW.due_at, NULL, NULL);
END;
CREATE TRIGGER sim_freed AFTER UPDATE OF lease_token ON agenda
WHEN NEW.lease_token IS NULL AND OLD.lease_token IS NOT NULL BEGIN
    INSERT INTO sim_breach SELECT OLD.stage, OLD.subject, 'freed by somebody else'
        WHERE sim_frees(OLD.lease_token, OLD.due_at);
END;
CREATE TRIGGER sim_removed AFTER DELETE ON agenda
WHEN OLD.lease_token IS NOT NULL AND OLD.stage = 'deliver' BEGIN
    INSERT INTO sim_breach SELECT OLD.stage, OLD.subject, 'removed by somebody else'
        WHERE sim_frees(OLD.lease_token, OLD.due_at);
END;
"""


#: What a history leaves behind; the recorder's tables last: what the others' triggers tell of is no longer asked for.
_TABLES = """
SELECT name FROM sqlite_master WHERE type = 'table' AND name <> 'alembic_version' ORDER BY name LIKE 'sim%', name
"""


class Engine:
    """The one connection, emptied for each history. Statements are compiled and prepared once for all of them."""

    def __init__(self) -> None:
        self.world: Any = None
        self._holders: dict[str, Any] = {}
        self._ends: dict[str, float] = {}  #: of leases, by a clock that nobody sets
        self.raw = sqlite3.connect(":memory:", isolation_level=None, cached_statements=1000)
        self.statements: Any = Statements(self.raw, self._watch)
        self.raw.create_function("sim_now", 0, lambda: self.world.loop.now)
        self.raw.create_function("sim_takes", 4, self._takes)
        self.raw.create_function("sim_frees", 2, self._frees)
        _migrate(self.raw)
        self._tables = [name for (name,) in self.rows(_TABLES)]

    def begin_history(self, world: Any) -> None:
        """An empty, migrated database for this world."""
        self.world = world
        self._holders.clear()
        self._ends.clear()
        self.raw.execute("BEGIN")
        for table in self._tables:
            self.raw.execute(f"DELETE FROM {table}")
        self.raw.execute("INSERT INTO event_log (name, newest, removed) VALUES ('events', 0, 0)")
        self.raw.execute("COMMIT")

    @contextmanager
    def transaction(self, begin: str) -> Iterator[Connection]:
        """Whatever ends it but its own end undoes it."""
        self.raw.execute(begin)
        try:
            yield self.statements
        except BaseException:
            self.raw.execute("ROLLBACK")
            raise
        self.raw.execute("COMMIT")

    def _watch(self) -> None:
        if self.world.acting is not None:
            self.world.acting.at_statement()

    def rows(self, query: str) -> list[Any]:
        """Read past every fault."""
        return self.raw.execute(query).fetchall()

    def _live(self, due_at: str | None) -> bool:
        return due_at is not None and datetime.fromisoformat(due_at).replace(tzinfo=UTC) > self.world.database_now()

    def _takes(self, new: str, end: str, old: str | None, due_at: str | None) -> bool:
        self._holders[new] = self.world.acting
        lease = datetime.fromisoformat(end).replace(tzinfo=UTC) - self.world.database_now()
        self._ends[new] = self.world.loop.now + lease.total_seconds()
        before = self._holders.get(old or "")
        robbed = (
            before is not None and before.is_awake() and self._ends[old or ""] > self.world.loop.now + SLACK_SECONDS
        )
        if before is not None and before is not self.world.acting:
            before.lose()
        return old is not None and (robbed or self._live(due_at))

    def _frees(self, token: str, due_at: str | None) -> bool:
        return self._live(due_at) and self._holders.get(token) is not self.world.acting


def _migrate(raw: sqlite3.Connection) -> None:
    with contextlib.closing(sqlite3.connect(migrated_file())) as migrated:
        migrated.backup(raw)
    raw.executescript(RECORDER)


class HostDatabase(Database):
    """A host's view of the database: every transaction may fail, or be the last thing the host ever does."""

    def __init__(self, engine: Engine, host: Any) -> None:
        self._clock = host.world.clock
        self.is_postgresql = False
        self._engine = engine
        self._host = host

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        host = self._host
        host.before_transaction()
        host.before_write()
        with self._begun("BEGIN IMMEDIATE") as connection:
            yield connection
            host.before_commit()
        host.after_commit()

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        self._host.before_transaction()
        with self._begun("BEGIN") as connection:
            yield connection

    @contextmanager
    def _begun(self, begin: str) -> Iterator[Connection]:
        world = self._host.world
        world.acting = self._host
        try:
            with self._engine.transaction(begin) as connection:
                yield connection
        finally:
            world.acting = None

    def close(self) -> None:
        """The connection is everybody's."""


class WorldClock:
    """The database server's clock."""

    def __init__(self, world: Any) -> None:
        self._world = world

    def now(self) -> datetime:
        return self._world.database_now()  # type: ignore[no-any-return]


def moment(seconds: float) -> datetime:
    """Seconds of the history as a time."""
    return START + timedelta(seconds=seconds)


def unavailable(what: str) -> OperationalError:
    """The database is away."""
    return OperationalError("(simulated)", {}, sqlite3.OperationalError(what))


__all__ = ["START", "Died", "Engine", "HostDatabase", "WorldClock", "moment", "unavailable"]
