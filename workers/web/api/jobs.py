"""Runs the jobs that services and people asked for (replays, acts on many invoices) in a thread of the web process;
another process takes over what is left."""

from __future__ import annotations

import threading

import structlog

from workers.store.database import UNAVAILABLE
from workers.store.operate import bulk
from workers.store.operate.replay_jobs import work_on
from workers.store.store import Store

log = structlog.get_logger()

#: How often to look for jobs that another process left unfinished.
LOOK_SECONDS = 5.0


class JobRunner:
    """Runs one job after the other; long ones take turns."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._some = threading.Event()
        self._stopping = threading.Event()

    def wake(self) -> None:
        """There is a job, or the process is to stop."""
        self._some.set()

    def run(self, stopping: threading.Event) -> None:
        """Until the process stops."""
        self._stopping = stopping
        while not stopping.is_set():
            self._some.clear()
            self.work()
            if not stopping.is_set():
                self._some.wait(LOOK_SECONDS)

    def work(self) -> None:
        """Run every job that nobody works on. One that fails is tried again when its lease is over."""
        try:
            while not self._stopping.is_set():
                replayed = work_on(self._store)
                if not bulk.work_on(self._store, self._stopping.is_set) and not replayed:
                    return
        except UNAVAILABLE as error:
            log.warning("replay.store_away", error=type(error).__name__)
        except Exception:
            log.exception("replay.bug", traceback=True)
