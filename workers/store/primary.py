"""Which of several servers is written to when more than one takes writes: the one that was promoted last.

A promotion begins a new timeline. An old primary that comes back, or that never noticed, has an older one: what is
written there is lost. `target_session_attrs` can't tell the two apart, because both take writes.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple
from weakref import WeakKeyDictionary

import psycopg
import structlog

from workers.store.session import Session, connect

log = structlog.get_logger()

#: How often a process that uses the database looks whether another server was promoted.
LOOK_SECONDS = 10.0
#: For each server that is looked at; libpq takes no less.
LOOK_TIMEOUT_SECONDS = 2

_OLD = "the server was the primary before another was promoted: it must not be written to"
_TIMELINE = """
SELECT system_identifier,
       ('x' || pg_catalog.left(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_lsn()), 8))::bit(32)::int
FROM pg_catalog.pg_control_system()
"""


class Timeline(NamedTuple):
    """Of a server. Numbers are compared between servers that come from the same `initdb` only."""

    system: int
    number: int


class Primary:
    """For one pool of sessions, on the servers of one address."""

    def __init__(self, arguments: Mapping[str, object]) -> None:
        """``arguments``: psycopg's, with several hosts."""
        self._hosts = list(_single_hosts(arguments))
        self._newest: dict[int, int] = {}
        self._has_compared = False
        self._sessions: WeakKeyDictionary[Session, Timeline] = WeakKeyDictionary()  #: that are open
        self._lock = threading.Lock()
        self._looker: threading.Thread | None = None

    def connect(self, open_one: Callable[..., Session], arguments: Mapping[str, object]) -> tuple[Session, object]:
        """A session on the primary, and its timeline. Raises psycopg's errors.

        The first session of a process is compared with all servers; a later one only if it is on an old primary.
        """
        session, timeline = _opened(open_one, arguments)
        self._note(timeline)
        if not self._has_compared:
            self._look()
            self._has_compared = True
        if not self.is_old(timeline):
            self._keep(session, timeline)
            return session, timeline
        session.close()
        for host in self._hosts:
            if (found := self._try(open_one, {**arguments, **host})) is not None:
                return found
        raise psycopg.OperationalError(_OLD)

    def _try(self, open_one: Callable[..., Session], arguments: Mapping[str, object]) -> tuple[Session, object] | None:
        try:
            session, timeline = _opened(open_one, arguments)
        except psycopg.OperationalError:
            return None  # away, or a standby
        if timeline is not None and not self.is_old(timeline):
            self._note(timeline)
            self._keep(session, timeline)
            return session, timeline
        session.close()
        return None

    def is_old(self, timeline: object) -> bool:
        """Whether a server of this timeline was the primary before another."""
        if not isinstance(timeline, Timeline):
            return False
        return timeline.number < self._newest.get(timeline.system, 0)

    def _keep(self, session: Session, timeline: Timeline | None) -> None:
        """Watch over a session: all servers are looked at now and then, for as long as one is open."""
        if timeline is None:
            return
        with self._lock:
            self._sessions[session] = timeline
            if self._looker is None or not self._looker.is_alive():
                self._looker = threading.Thread(target=self._look_on, name="primary", daemon=True)
                self._looker.start()

    def _look_on(self) -> None:
        while True:
            time.sleep(LOOK_SECONDS)
            with self._lock:
                if all(session.closed for session in self._sessions):
                    self._looker = None
                    return
            self._look()
            self._cut_old()

    def _cut_old(self) -> None:
        """End sessions on an old primary that somebody waits for: a commit there may wait for its replica for ever."""
        with self._lock:
            old = [session for session, timeline in self._sessions.items() if self.is_old(timeline)]
        for session in old:
            with contextlib.suppress(psycopg.Error, OSError):  # it has been closed meanwhile
                _cut(session)

    def _look(self) -> None:
        for host in self._hosts:
            try:
                arguments = {**host, "target_session_attrs": "read-write", "connect_timeout": LOOK_TIMEOUT_SECONDS}
                with psycopg.connect(**arguments, autocommit=True) as session:  # type: ignore[arg-type]
                    self._note(_read_timeline(session))
            except psycopg.OperationalError:
                continue  # away, or a standby

    def _note(self, timeline: Timeline | None) -> None:
        if timeline is None or timeline.number <= self._newest.get(timeline.system, 0):
            return
        if self._has_compared and timeline.system in self._newest:
            log.warning("store.promoted", timeline=timeline.number, consequence="sessions on the old primary are left")
        self._newest[timeline.system] = timeline.number


def _opened(open_one: Callable[..., Session], arguments: Mapping[str, object]) -> tuple[Session, Timeline | None]:
    """A session and its server's timeline. Raises psycopg's errors, and leaves no session open then."""
    session = connect(open_one, arguments)
    try:
        return session, _read_timeline(session)
    except BaseException:
        session.close()
        raise


def _cut(session: Session) -> None:
    """Break a session's connection under whoever waits for it. Raises psycopg.Error, OSError."""
    with socket.socket(fileno=os.dup(session.fileno())) as line:
        if not session.closed:  # otherwise the number may be another file's by now
            line.shutdown(socket.SHUT_RDWR)


def has_several(arguments: Mapping[str, object]) -> bool:
    """Whether psycopg's arguments name more than one server."""
    return "," in str(arguments.get("host", ""))


def _single_hosts(arguments: Mapping[str, object]) -> Iterator[dict[str, object]]:
    """The arguments for each server alone."""
    hosts, ports = (str(arguments.get(name, "")).split(",") for name in ("host", "port"))
    for place, host in enumerate(hosts):
        port = ports[place] if place < len(ports) else ports[0]
        yield {**arguments, "host": host, "port": port or None, "hostaddr": ""}


def _read_timeline(session: Session) -> Timeline | None:
    """None: the server doesn't say, behind a pooler or as a service that hides its log."""
    try:
        ((system, number),) = session.execute(_TIMELINE).fetchall()
    except (psycopg.ProgrammingError, psycopg.NotSupportedError):
        session.rollback()
        return None
    session.rollback()
    return Timeline(system, number)
