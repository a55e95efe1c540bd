"""Ten times the orders that a provider allows: what waits, waits in SQL, and no other account waits with it."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from tests.acceptance.messages import INTAKE_QUEUE, WORK_QUEUE
from tests.acceptance.system import PATIENT, System, nebulox_order, running

pytestmark = [pytest.mark.engines, pytest.mark.timeout(1200)]

RATE = 10  #: calls a second that the busy account's provider allows
SECONDS = 12  #: of orders at ten times that
SHORT_SECONDS = 8  #: the same on brokers that are not the embedded one
CALM = 30  #: orders of the other account, meanwhile
ACCOUNTS: dict[str, dict[str, object]] = {
    "busy": {"provider": "nebulox", "rate_per_second": RATE, "max_in_flight": 5, **PATIENT},
    "calm": {"provider": "nebulox", **PATIENT},
}
MOST_BELLS = 20  #: bells and sweeps that may wait at one moment: none means more than "look at this lane"
MOST_GROWTH_MIB = 48.0  #: what a worker's first thousands of calls may leave behind


def test_ten_times_the_orders_wait_in_sql_and_hold_up_nobody_else(tmp_path, new_postgres_url, either_broker):
    system = System(tmp_path, database_url=new_postgres_url, accounts=ACCOUNTS, broker=either_broker, cold=True)
    with running(system, "intake", "worker", "beat") as system:
        system.order(*(nebulox_order(f"warm-{n}", account=name) for name in ACCOUNTS for n in range(10)))
        system.wait_for_statuses("warm-", pending=20)
        before = memory_mib(system)
        samples: list[int] = []
        with watching(system, samples):
            sent = overload(system, SHORT_SECONDS if either_broker else SECONDS)
            system.wait_until(lambda: len(system.invoices("busy-")) == sent, "the intake has taken them all")
            system.wait_until(lambda: system.broker.waiting(INTAKE_QUEUE) == 0, "the calm account's last are taken too")
            system.wait_for_statuses("calm-", pending=CALM)
            system.wait_for_statuses("busy-", pending=sent, seconds=600)

        waited = busy_ones_after_the_calm(system)
        assert waited > 2 * RATE, "the calm account's orders came last and had not to wait for those before them"
        assert max(samples) <= MOST_BELLS
        assert max(memory_mib(system)[name] - before[name] for name in before) < MOST_GROWTH_MIB
        assert set(system.creates("busy-").values()) | set(system.creates("calm-").values()) == {1}
        system.wait_until(lambda: system.broker.waiting(WORK_QUEUE) == 0, "no bell is left")
        system.wait_until_told()


def overload(system, seconds):
    """Ten times the rate, a few orders of the other account among them; how many were sent to the busy one."""
    sent, start = 0, time.monotonic()
    for step in range(CALM):
        due = (step + 1) * seconds * RATE * 10 // CALM
        system.order(*(nebulox_order(f"busy-{n}", account="busy") for n in range(sent, due)))
        system.order(nebulox_order(f"calm-{step}", account="calm"))
        sent = due
        time.sleep(max(0.0, start + (step + 1) * seconds / CALM - time.monotonic()))
    return sent


def busy_ones_after_the_calm(system):
    """Orders that were payable after the last one of the calm account."""
    told = [one["envelope"]["data"]["account"] for one in system.events() if one["type"] == "invoice.pending"]
    return list(reversed(told)).index("calm")


class watching:  # noqa: N801 - reads as what is done meanwhile
    """How many messages wait in the work queue, sampled until the block ends."""

    def __init__(self, system, samples):
        self._system, self._samples = system, samples
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self):
        self._thread.start()

    def __exit__(self, *_):
        self._ended.set()
        self._thread.join()

    def _watch(self):
        while not self._ended.wait(0.05):
            self._samples.append(self._system.broker.waiting(WORK_QUEUE))


def memory_mib(system):
    """Resident memory of the worker and the intake."""
    found = {}
    for name in ("worker", "intake"):
        lines = Path(f"/proc/{system.processes[name].pid}/status").read_text().splitlines()
        found[name] = int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) / 1024
    return found
