"""A database whose clock can be set: SQLite by the host's, PostgreSQL by a library put before the C library's."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.chaos.clock import SettableClock
from tests.engines import new_postgres_database, run_postgres
from workers.store.database import Database
from workers.store.schema import upgrade


class HostClock:
    """The host's clock, set ahead or back."""

    def __init__(self) -> None:
        self.ahead = 0

    def now(self) -> datetime:
        return datetime.now(UTC) + timedelta(seconds=self.ahead)

    def set_ahead(self, seconds: int) -> None:
        self.ahead = seconds


@contextlib.contextmanager
def stepped_postgres() -> Iterator[tuple[str, SettableClock]]:
    """A server's URL and its clock. Raises MissingCompilerError and MissingEngineError."""
    with tempfile.TemporaryDirectory(prefix="invoices-clock-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        clock = SettableClock(folder)
        with run_postgres(environment=clock.environment) as url:
            yield url, clock


@contextlib.contextmanager
def stepped_database(server: str, clock: SettableClock) -> Iterator[tuple[Database, SettableClock]]:
    """A migrated database of that server; its clock is right at first."""
    clock.set_ahead(0)
    with new_postgres_database(server) as url:
        upgrade(url)
        database = Database(url)
        yield database, clock
        database.close()
