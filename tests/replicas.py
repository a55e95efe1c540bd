"""A PostgreSQL and a streaming replica of it, with the programs that production has: to be killed, cut off, promoted.

Each listens on 127.0.0.1, and has its `data` and its `log` in a folder of its own.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from tests.chaos.postgres import ENVIRONMENT, kill, start
from tests.engines import SERVER_SETTINGS, MissingEngineError, init_postgres, postgres_home, run_program
from tests.servers import free_port, wait_until

STANDBY = "standby"  #: the name by which a primary may wait for it
SETTINGS = SERVER_SETTINGS | {
    "listen_addresses": "127.0.0.1",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "wal_level": "replica",
    "wal_log_hints": "on",  # pg_rewind wants it
    "hot_standby": "on",
    "wal_keep_size": "256MB",
}


@dataclass(slots=True)
class Node:
    """One server."""

    programs: Path
    folder: Path
    port: int

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def url(self) -> str:
        """Of this server alone."""
        return f"postgresql+psycopg://postgres@127.0.0.1:{self.port}/postgres"

    def configure(self, settings: Mapping[str, str]) -> None:
        """Append to its settings; counts from its next start or reload on."""
        with (self.data / "postgresql.conf").open("a") as file:
            file.writelines(f"{name} = '{value}'\n" for name, value in settings.items())

    @property
    def environment(self) -> dict[str, str]:
        """What only this server has. Not in its settings: `pg_rewind` copies those from the other one."""
        return {"PGPORT": str(self.port)}

    def begin(self) -> None:
        """Start it for the first time."""
        (self.folder / ENVIRONMENT).write_text(json.dumps(self.environment))
        command = ("-D", self.data, "-l", self.folder / "log", "-w", "-t", "180", "start")
        run_program(self.programs / "pg_ctl", *command, more=self.environment)

    def kill(self) -> None:
        """SIGKILL: postmaster and children are gone when this returns."""
        kill(self.folder)

    def start(self) -> None:
        """Start it again on what it has."""
        start(self.folder)

    def run(self, program: str, *arguments: object) -> None:
        """One of the server's programs, as whoever runs the server."""
        run_program(self.programs / program, *arguments)

    def promote(self) -> None:
        """Make a standby a primary, and wait until it is one."""
        self.run("pg_ctl", "-D", self.data, "-w", "-t", "180", "promote")

    def reload(self) -> None:
        """Have it read its settings again."""
        self.run("pg_ctl", "-D", self.data, "reload")

    def ask(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """Rows of a query, each in a session of its own."""
        with self.session() as connection:
            found = connection.execute(query.encode(), values or None)
            return found.fetchall() if found.description else []

    @contextlib.contextmanager
    def session(self) -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
        """A superuser's session, with autocommit."""
        with self.open() as connection:
            yield connection

    def open(self) -> psycopg.Connection[tuple[Any, ...]]:
        """The same, to be closed."""
        return psycopg.connect(host="127.0.0.1", port=self.port, user="postgres", dbname="postgres", autocommit=True)

    def is_primary(self) -> bool:
        """Whether it answers, and takes writes."""
        try:
            return self.ask("SELECT pg_is_in_recovery()") == [(False,)]
        except psycopg.OperationalError:
            return False

    def stop_if_it_runs(self) -> None:
        """At the end of a test: whatever state it is in."""
        with contextlib.suppress(RuntimeError):  # it was killed and not started again
            self.run("pg_ctl", "-D", self.data, "-w", "-m", "immediate", "stop")


@dataclass(slots=True)
class Pair:
    """A primary and its standby; after a failover they have changed places only in what they do, not in their names."""

    primary: Node
    standby: Node

    @property
    def url(self) -> str:
        """As libpq writes it: both servers, and the one that takes writes is meant."""
        return (
            f"postgresql://postgres@127.0.0.1:{self.primary.port},127.0.0.1:{self.standby.port}/postgres"
            "?target_session_attrs=read-write"
        )

    def wait_until_streaming(self, *states: str) -> None:
        """Until the standby has what the primary has; ``states``: `async` or `sync`."""
        query = "SELECT sync_state FROM pg_stat_replication WHERE state = 'streaming' AND replay_lsn >= sent_lsn"
        wanted = [[(state,)] for state in states or ("async", "sync")]
        wait_until(lambda: self.primary.ask(query) in wanted, "the standby has what the primary has")

    def hold_back(self) -> int:
        """Stop what the primary sends: commits from now on are known to it alone. The sender's process id: it doesn't
        notice the primary's end, so it has to be ended with it."""
        ((pid,),) = self.primary.ask("SELECT pid FROM pg_stat_replication")
        os.kill(pid, signal.SIGSTOP)
        return int(pid)

    def kill_primary(self, held_back: int | None = None) -> None:
        """SIGKILL the primary, and what was held back: it dies with it and is sent no more."""
        if held_back is not None:
            os.kill(held_back, signal.SIGKILL)  # a stopped process takes this one signal
        self.primary.kill()

    @contextlib.contextmanager
    def cut_off_primary(self) -> Iterator[None]:
        """Every packet to and from the primary is lost, as when its host has lost its network; it lives on."""
        rules = [("INPUT", "-i", "lo", "-p", "tcp", way, str(self.primary.port), "-j", "DROP") for way in _WAYS]
        with contextlib.ExitStack() as stack:
            for rule in rules:
                _iptables("-I", *rule)
                stack.callback(_iptables, "-D", *rule)
            yield


_WAYS = ("--dport", "--sport")


def require_cuts() -> None:
    """Raise MissingEngineError where no server can be cut off."""
    if os.geteuid() != 0 or shutil.which("iptables") is None:
        raise MissingEngineError("no server can be cut off here: that takes root and iptables")


def _iptables(*arguments: str) -> None:
    ran = subprocess.run(["iptables", "-w", *arguments], capture_output=True, text=True, check=False, timeout=180)
    if ran.returncode:
        raise MissingEngineError(f"no server can be cut off here: {ran.stderr.strip()}")


@contextlib.contextmanager
def run_pair(changes: Mapping[str, str] | None = None) -> Iterator[Pair]:
    """Both, streaming. ``changes`` to the primary's settings, `synchronous_standby_names` for instance."""
    with postgres_home() as (programs, home), contextlib.ExitStack() as stack:
        primary, standby = (Node(programs, home / name, free_port()) for name in ("a", "b"))
        for node in (primary, standby):
            run_program(Path("/bin/mkdir"), "-m", "700", node.folder)
            stack.callback(node.stop_if_it_runs)
        init_postgres(programs, primary.data)
        primary.configure(SETTINGS | {"unix_socket_directories": str(home)})
        primary.begin()
        copy_primary(primary, standby)
        standby.begin()
        pair = Pair(primary, standby)
        if changes:  # now that there is a standby to wait for
            primary.configure(changes)
            primary.reload()
        pair.wait_until_streaming("sync" if changes and "synchronous_standby_names" in changes else "async")
        yield pair


def copy_primary(primary: Node, standby: Node) -> None:
    """A base backup that follows the primary when it is started."""
    place = f"host=127.0.0.1 port={primary.port} user=postgres application_name={STANDBY}"
    standby.run("pg_basebackup", "-d", place, "-D", standby.data, "-R", "-X", "stream", "-c", "fast", "--no-sync")
