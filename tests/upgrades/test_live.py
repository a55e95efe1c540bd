"""The next releases' migrations run while this release's processes work: nothing waits long, fails, or is lost."""

from __future__ import annotations

import threading

import pytest

from tests.acceptance.awaited import DEADLINE_SECONDS
from tests.acceptance.system import System, running, zeroxhost_order
from workers.store import schema

pytestmark = [pytest.mark.engines, pytest.mark.timeout(900)]

BATCH = 10
PAUSE_SECONDS = 0.4


class Flow:
    """Orders that keep coming."""

    def __init__(self, system: System) -> None:
        self._system = system
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._send, daemon=True)
        self._sent = 0
        self._thread.start()

    def _send(self) -> None:
        while not self._stop.wait(PAUSE_SECONDS):
            orders = [zeroxhost_order(f"flow-{self._sent + place}", "~pay:1~") for place in range(BATCH)]
            self._system.order(*orders)
            self._sent += BATCH

    def wait_for_more(self) -> None:
        """Until orders that were sent from now on are invoices."""
        wanted = self._sent + 3 * BATCH
        self._system.wait_until(lambda: sum(self._system.statuses().values()) >= wanted, "orders are being taken")

    def end(self) -> int:
        """Stop; how many orders were sent."""
        self._stop.set()
        self._thread.join(DEADLINE_SECONDS)
        assert not self._thread.is_alive(), "orders are still being sent"
        return self._sent


def test_this_release_works_on_while_the_next_ones_migrate(new_postgres_url, tmp_path, planted):
    """Expand, index and contract under load, a worker killed on the way: it starts again on the newer schema."""
    with running(System(tmp_path, database_url=new_postgres_url, cold=True), "intake", "worker", "beat") as system:
        flow = Flow(system)
        for revision in schema.revisions(planted)[len(schema.revisions()) :]:
            flow.wait_for_more()
            assert schema.upgrade(new_postgres_url, folder=planted, to=revision)[1] == revision
            flow.wait_for_more()
            system.restart("worker")
            assert system.command("migrate", "--json")[0]["changed"] is False
        sent = flow.end()
        system.wait_for_statuses(paid=sent, seconds=300)
        system.wait_until_told()

        system.check_history()
        assert max(system.creates().values()) <= 1 + max(row["doubts"] for row in system.invoices().values())
        assert system.errors() == []
        assert [line for line in system.logs().splitlines() if "store.unavailable" in line] == []
        (row,) = system.rows("SELECT count(*) AS n, min(risk) AS low, max(risk) AS high FROM invoice")
        assert row == {"n": sent, "low": 7, "high": 7}
