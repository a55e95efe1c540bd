"""An operator in a campaign: marks orders as paid by the command, in a thread of its own."""

from __future__ import annotations

import contextlib
import subprocess
import threading
import time
from collections.abc import Iterator

from tests.acceptance.system import System
from tests.chaos.planned import PlannedMark

REASON = "the customer has shown the receipt"
#: An order that is not there, or a database that is away, is tried again for this long.
PATIENCE_SECONDS = 15.0


class Markers:
    """``done``: what the command said is marked, with the epoch second at which it had ended."""

    def __init__(self, system: System, marks: list[PlannedMark]) -> None:
        self._system = system
        self._marks = marks
        self._stopping = threading.Event()
        self.done: dict[str, float] = {}
        self.asked: set[str] = set()  #: also where nobody knows what came of it

    def run(self, began: float) -> None:
        """One after the other. ``began``: the monotonic start of the run."""
        for mark in self._marks:
            while not self._stopping.wait(0.5) and (now := time.monotonic() - began) < mark.at + PATIENCE_SECONDS:
                if now >= mark.at and self._mark(mark):
                    break

    def stop(self) -> None:
        """Mark nothing more."""
        self._stopping.set()

    def _mark(self, mark: PlannedMark) -> bool:
        arguments = mark.order_id, "paid", "--account", mark.account, "--reason", REASON, "--by", "campaign", "--json"
        self.asked.add(mark.order_id)
        with contextlib.suppress(AssertionError, subprocess.TimeoutExpired):  # refused, or the database is away
            self._system.command("mark", *arguments)
            self.done[mark.order_id] = time.time()
            return True
        return False


def undone_marks(system: System, markers: Markers, restored_at: list[float]) -> Iterator[str]:
    """What was marked as paid stays paid; a database that was put back since knows nothing of it."""
    rows = system.invoices()
    for order, at in sorted(markers.done.items()):
        row = rows.get(order)
        if row is not None and row["status"] not in {"paid", "refunded"} and not any(at <= one for one in restored_at):
            yield f"{order}: marked as paid at {at:.1f}, and it is {row['status']}"
