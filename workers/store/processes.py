"""Each process writes itself down every few seconds: that tells one that is gone from one that has nothing to do."""

from __future__ import annotations

import dataclasses
import functools
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Collection, Mapping
from datetime import datetime, timedelta

import structlog
from sqlalchemy import Connection, Executable, bindparam, delete, exists, select

from domain.exact_json import write_json
from domain.why.processes import WORKER
from domain.work_report import Report, write_report
from workers.store.bulk import insert_for
from workers.store.database import UNAVAILABLE, Database
from workers.store.quick import execute
from workers.store.tables import PROCESS
from workers.store.tables.columns import LONGEST_PROCESS

log = structlog.get_logger()

#: Three in a row may fail before a process counts as gone, see ``domain/why/processes.py``.
WRITE_SECONDS = 4.0
#: How long rows of ended processes are kept; each role's newest is kept for good, since it tells when the role went. A
#: process that is restarted again and again leaves a row each time.
FORGET = timedelta(hours=1)
FORGET_SECONDS = 60.0  #: between two looks for them


class Heartbeat:
    """Writes one process down in its roles. ``moved`` and ``swept`` may be called from any thread, at any rate."""

    def __init__(self, database: Database, roles: Collection[str], accounts: Collection[str]) -> None:
        #: Of a worker, asked with every write: its work, and the accounts that rest, by the seconds that are left.
        self.report: Callable[[], Report] | None = None
        self.rests: Callable[[], Mapping[str, float]] | None = None
        self._database = database
        self._roles = sorted(roles)
        self._accounts = write_json(sorted(accounts))
        self._name = f"{socket.gethostname()}:{os.getpid()}:{life()}"[-LONGEST_PROCESS:]
        self._started_at: datetime | None = None
        self._moved = self._swept = self._forgets_at = float("-inf")  #: by this process's own clock

    def moved(self) -> None:
        """Work was committed just now."""
        self._moved = time.monotonic()

    def swept(self) -> None:
        """Beat's sweep came just now."""
        self._swept = time.monotonic()

    def run(self, stopping: threading.Event) -> None:
        """Write until the process stops. A database that is away is logged once, and waited for."""
        told = False
        while True:
            try:
                self.write()
                told = False
            except UNAVAILABLE as error:
                if not told:
                    log.warning("process.unseen", error=type(error).__name__)
                told = True
            except Exception:
                log.exception("process.heartbeat_failed")
            if stopping.wait(WRITE_SECONDS):
                return

    def write(self) -> None:
        """Once."""
        work = self._work()
        with self._database.transaction() as connection:
            now = self._database.now(connection)
            self._started_at = self._started_at or now
            for role in self._roles:
                moved, done = (self._moved, work) if role == WORKER else (float("-inf"), None)
                self._put(connection, role, now, moved, done)
            if self._swept > float("-inf"):
                self._put(connection, "beat", now - _since(self._swept), float("-inf"))
            if time.monotonic() >= self._forgets_at:
                self._forgets_at = time.monotonic() + FORGET_SECONDS
                _forget(connection, now)

    def _work(self) -> str | None:
        if self.report is None:
            return None
        rests = self.rests() if self.rests is not None else {}
        return write_report(dataclasses.replace(self.report(), rests=rests))

    def _put(self, connection: Connection, role: str, seen_at: datetime, moved: float, work: str | None = None) -> None:
        seen = {"seen_at": seen_at, "accounts": self._accounts, "started_at": self._started_at, "work": work}
        if moved > float("-inf"):
            seen["moved_at"] = seen_at - _since(moved)
        put = _put_statement(connection.dialect.name, tuple(seen))
        execute(connection, put, {"role": role, "name": self._name, **seen})


@functools.cache
def _put_statement(dialect: str, names: tuple[str, ...]) -> Executable:
    insert = insert_for(dialect, PROCESS).values({name: bindparam(name) for name in ("role", "name", *names)})
    return insert.on_conflict_do_update(
        index_elements=["role", "name"], set_={name: insert.excluded[name] for name in names}
    )


@functools.cache
def life() -> str:
    """Differs from process to process. Host names and process ids may not: in containers each is process 1, and several
    may be given one name."""
    return secrets.token_hex(4)


def start_heartbeat(
    database: Database, roles: Collection[str], accounts: Collection[str], stopping: threading.Event
) -> Heartbeat:
    """A heartbeat in a thread of its own."""
    heartbeat = Heartbeat(database, roles, accounts)
    threading.Thread(target=heartbeat.run, args=(stopping,), name="heartbeat", daemon=True).start()
    return heartbeat


def _since(moment: float) -> timedelta:
    return timedelta(seconds=time.monotonic() - moment)


def _forget(connection: Connection, now: datetime) -> None:
    later = PROCESS.alias("later")
    newer = exists(select(later.c.name).where(later.c.role == PROCESS.c.role, later.c.seen_at > PROCESS.c.seen_at))
    connection.execute(delete(PROCESS).where(PROCESS.c.seen_at < now - FORGET, newer))
