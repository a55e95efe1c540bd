"""A failover in the middle: the master of a Redis behind Sentinel is killed while orders flow.

Replication is asynchronous: what the master had confirmed and not yet passed on is gone. Here its replicas are cut off
a moment before, so that something is. Publishing the orders again must bring it back and change nothing else.
"""

from __future__ import annotations

import os
import re
import signal
import sys
import threading
import time

import pytest

from tests.acceptance.awaited import DEADLINE_SECONDS
from tests.acceptance.system import System, zeroxhost_order
from tests.brokers import run_sentinels, skipping

pytestmark = [pytest.mark.engines, pytest.mark.timeout(900)]

ORDERS = 400
BEFORE = 150  #: published before the master dies
UNSAFE = 20  #: published while its replicas are cut off
SENDERS = 4


class Senders:
    """Threads that publish orders one by one; one that fails is published again until the broker has confirmed it."""

    def __init__(self, system, orders):
        self._system = system
        self._waiting = list(reversed(orders))
        self._taking = threading.Lock()
        self._goes_on = threading.Event()
        self.confirmed: list[str] = []
        self.failures = 0
        self._threads = [threading.Thread(target=self._send, daemon=True) for _ in range(SENDERS)]
        for thread in self._threads:
            thread.start()

    def go_on(self):
        """Beyond the first ``BEFORE``."""
        self._goes_on.set()

    def _send(self):
        while order := self._next():
            while True:
                try:
                    self._system.order(order)
                    break
                except Exception:
                    self.failures += 1
                    time.sleep(0.2)
            self.confirmed.append(order["order_id"])

    def _next(self):
        with self._taking:
            if len(self._waiting) == ORDERS - BEFORE:
                self._goes_on.wait()
            return self._waiting.pop() if self._waiting else None

    def join(self):
        for thread in self._threads:
            thread.join(DEADLINE_SECONDS)
            assert not thread.is_alive(), f"{len(self.confirmed)} of {ORDERS} were published"


def test_a_failover_while_orders_flow_is_survived_and_publishing_again_brings_back_what_it_lost(
    tmp_path, tmp_path_factory, new_postgres_url
):
    orders = [zeroxhost_order(f"flow-{n}", "~pay:1~") for n in range(ORDERS)]
    with (
        skipping(run_sentinels(tmp_path_factory.mktemp("broker"))) as broker,
        System(tmp_path, database_url=new_postgres_url, broker=broker) as system,
    ):
        system.add_receiver()
        system.start_program("up", [sys.executable, "-m", "workers.cli", "up", "--no-sandbox"])
        system.wait_until(lambda: "pump.started" in system.log("up"), "the worker runs")
        senders = Senders(system, orders)
        system.wait_until(lambda: len(senders.confirmed) == BEFORE, "orders flow")
        told_before = len(system.stream())

        intake = int(re.findall(r'"process": "intake", "pid": (\d+)', system.log("up"))[-1])
        os.kill(intake, signal.SIGSTOP)  # or it would have taken what is to be lost
        broker.cut_off_replicas()
        senders.go_on()
        system.wait_until(lambda: len(senders.confirmed) >= BEFORE + UNSAFE, "orders only the master knows")
        began = time.monotonic()
        broker.restart()
        away = time.monotonic() - began
        os.kill(intake, signal.SIGCONT)
        senders.join()
        system.wait_until(lambda: at_rest(system), "the queue is worked off")
        assert {order["order_id"] for order in orders} == set(senders.confirmed)
        lost = set(senders.confirmed) - set(system.invoices("flow-"))
        assert lost

        system.order(*orders)
        system.wait_for_statuses(paid=ORDERS)
        system.wait_until_told()
        doubts = {order_id: row["doubts"] for order_id, row in system.invoices().items()}
        assert not {order: made for order, made in system.creates().items() if made > 1 + doubts[order]}
        assert set(doubts) == {order["order_id"] for order in orders}
        system.check_history()
        assert system.rows("SELECT count(*) AS n FROM rejected_message") == [{"n": 0}]
        untold = {event["id"] for event in system.events()} - {entry["id"] for entry in system.stream()}
        print(
            f"failover: {away:.1f} s without a master, {len(senders.confirmed)} orders confirmed, "
            f"{senders.failures} publishes failed and were repeated, {len(lost)} confirmed orders lost, "
            f"{sum(doubts.values())} doubts, {len(untold)} of {len(system.events())} stream entries lost "
            f"({told_before} were there before)"
        )


def at_rest(system):
    """Nothing waits, and nothing is held any more: what a dead connection held comes back after the lease of 30 s."""
    return system.broker.waiting("invoices.intake") == 0 and system.redis.hlen("invoices.unacked") == 0
