"""One database for all hosts: SQLite in memory with the real schema, a recorder inside, and faults at every step.

Triggers write down what no code under test can leave out: every change of a status, and whoever freed a lease that was
somebody else's.
"""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, create_engine, event
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import StaticPool

from tests.simulation.loop import Died
from workers.store.database import Database
from workers.store.schema import upgrade

START = datetime(2026, 11, 21, 20, 0, tzinfo=UTC)

RECORDER = """
CREATE TABLE sim_history (
    invoice_id TEXT, was TEXT, status TEXT, old_sequence INTEGER, sequence INTEGER,
    at REAL, expires_at TEXT, reason TEXT
);
CREATE TABLE sim_breach (stage TEXT, subject TEXT, what TEXT);
CREATE TABLE sim_claim (stage TEXT, subject TEXT, at REAL);
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
        WHERE sim_takes(NEW.lease_token, OLD.lease_token, OLD.due_at);
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


class Engine:
    """The one connection, filled anew for each history. Statements are compiled once for all of them."""

    def __init__(self) -> None:
        self.world: Any = None
        self._template = _migrated()
        self._holders: dict[str, Any] = {}
        self.engine = create_engine("sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False})
        event.listen(self.engine, "connect", lambda connection, _: setattr(connection, "isolation_level", None))
        self.raw: sqlite3.Connection = self.engine.raw_connection().driver_connection  # type: ignore[assignment]
        self.raw.create_function("sim_now", 0, lambda: self.world.loop.now)
        self.raw.create_function("sim_takes", 3, self._takes)
        self.raw.create_function("sim_frees", 2, self._frees)

    def begin_history(self, world: Any) -> None:
        """An empty, migrated database for this world."""
        self.world = world
        self._holders.clear()
        self._template.backup(self.raw)

    def rows(self, query: str) -> list[Any]:
        """Read past every fault."""
        return self.raw.execute(query).fetchall()

    def _live(self, due_at: str | None) -> bool:
        return due_at is not None and datetime.fromisoformat(due_at).replace(tzinfo=UTC) > self.world.database_now()

    def _takes(self, new: str, old: str | None, due_at: str | None) -> bool:
        self._holders[new] = self.world.acting
        before = self._holders.get(old or "")
        if before is not None and before is not self.world.acting:
            before.lose()
        return old is not None and self._live(due_at)

    def _frees(self, token: str, due_at: str | None) -> bool:
        return self._live(due_at) and self._holders.get(token) is not self.world.acting


def _migrated() -> sqlite3.Connection:
    template = sqlite3.connect(":memory:", check_same_thread=False)
    with tempfile.TemporaryDirectory() as folder:
        upgrade(f"sqlite:///{Path(folder) / 'template.db'}")
        migrated = sqlite3.connect(Path(folder) / "template.db")
        migrated.backup(template)
        migrated.close()
    template.executescript("PRAGMA journal_mode=OFF;" + RECORDER)
    return template


class HostDatabase(Database):
    """A host's view of the database: every transaction may fail, or be the last thing the host ever does."""

    def __init__(self, engine: Engine, host: Any) -> None:
        self._clock = host.world.clock
        self.is_postgresql = False
        self.engine = engine.engine
        self._host = host

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        host = self._host
        host.before_transaction()
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
        """SQLAlchemy's events would do the same at twice the cost of everything else."""
        world = self._host.world
        world.acting = self._host
        try:
            with self.engine.begin() as connection:
                world.engine.raw.execute(begin)
                vars(connection)["execute"] = self._watched(connection.execute)
                yield connection
        finally:
            world.acting = None

    def _watched(self, execute: Callable[..., Any]) -> Callable[..., Any]:
        def watched(*arguments: Any, **options: Any) -> Any:
            self._host.at_statement()
            return execute(*arguments, **options)

        return watched

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
