"""Waiting for what a system comes to: for facts, never for time."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from typing import Any, Protocol

from sqlalchemy.exc import OperationalError

from domain.event import NAMED_ONLY
from tests.acceptance.checked import Checked

DEADLINE_SECONDS = 180.0


class Running(Protocol):
    """What is needed of a `subprocess.Popen`."""

    pid: int
    returncode: Any

    def poll(self) -> int | None: ...

    def wait(self, timeout: float | None = None) -> int: ...

    def send_signal(self, how: int, /) -> None: ...

    def kill(self) -> None: ...


class Awaited(Checked):
    """Polls, and says what all logs end with when it does not come to be."""

    processes: dict[str, Running]

    def wait_until(self, happened: Callable[[], Any], what: str, seconds: float = DEADLINE_SECONDS) -> Any:
        """Poll until it is true, and return that; what all logs end with when it does not come to be."""
        deadline = time.monotonic() + seconds
        while not (found := _try(happened)):
            ended = [name for name, process in self.processes.items() if process.poll() is not None]
            assert not ended, f"{ended} ended while we waited: {what}\n{self.logs()}"
            assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}\n{self.state()}\n{self.logs()}"
            time.sleep(0.05)
        return found

    def holds(self, stands: Callable[[], Any], what: str, seconds: float) -> None:
        """Poll that it stays true for so long."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            assert stands(), f"does not hold: {what}\n{self.state()}\n{self.logs()}"
            time.sleep(0.05)

    def wait_for_statuses(self, prefix: str = "", seconds: float = DEADLINE_SECONDS, **wanted: int) -> None:
        """Until there are exactly so many invoices of each status, and no others."""
        self.wait_until(lambda: self.statuses(prefix) == wanted, f"invoices {prefix}… are {wanted}", seconds)

    def wait_for_calls(self, prefix: str, at_least: int) -> None:
        """Until so many creates have begun. Held up by a fault they are under way; where this process has been held up
        for longer, some have ended."""
        self.wait_until(lambda: len(self.calls(prefix)) >= at_least, f"{at_least} creates of {prefix}… have begun")

    def wait_until_told(self, seconds: float = DEADLINE_SECONDS) -> None:
        """Until the stream and the receiver have every event of the log."""

        def all_told() -> bool:
            found = self.rows("SELECT type, count(*) AS n FROM event GROUP BY type")
            count = sum(row["n"] for row in found if row["type"] not in NAMED_ONLY)
            untold = self.rows("SELECT count(*) AS n FROM event WHERE published_at IS NULL")[0]["n"]
            return untold == 0 and bool(self.received()["unique"] >= count)

        self.wait_until(all_told, "every event is told", seconds)

    def state(self) -> str:
        """Where things stand, in a few lines."""
        with contextlib.suppress(Exception):
            agenda = self.rows(
                "SELECT stage, lane, count(*) AS n, min(due_at) AS due, max(claims) AS claims FROM agenda "
                "GROUP BY stage, lane"
            )
            return f"statuses {dict(self.statuses())}\nagenda {agenda}\nreceiver {self.received()}"
        return "(no state: the database or the receiver does not answer)"


def _try(happened: Callable[[], Any]) -> Any:
    """A database that is away, or not there yet, has not shown it."""
    try:
        return happened()
    except OperationalError:
        return None
