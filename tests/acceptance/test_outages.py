"""Engines that go away and come back: the database, the broker, workers killed again and again."""

from __future__ import annotations

import re
import signal
import sys
from pathlib import Path

import pytest

from config.celeryconfig import IN_HAND
from tests.acceptance.facts import RECEIVER
from tests.acceptance.system import ALL_PATIENT, System, nebulox_order, running, zeroxhost_order

pytestmark = [pytest.mark.engines, pytest.mark.timeout(900)]


def test_while_the_database_is_away_orders_wait_in_the_broker_and_nothing_is_lost(
    tmp_path, broker, new_postgres_url, postgres_behind_a_door
):
    door, url = postgres_behind_a_door
    system = System(
        tmp_path, database_url=url, direct_database_url=new_postgres_url, accounts=ALL_PATIENT, broker=broker
    )
    with running(system, "intake", "worker", "beat") as system:
        for provider in ("nebulox", "zeroxhost"):
            system.control("faults", {"provider": provider, "fault": "delay", "argument": 5, "match": "before-"})
        system.order(*(nebulox_order(f"before-{n}") for n in range(20)))
        system.wait_for_calls("before-", 20)
        pids = {name: process.pid for name, process in system.processes.items()}

        door.shut()
        system.order(*(zeroxhost_order(f"during-{n}", "~pay:1~") for n in range(300)))
        system.wait_until(lambda: "store.unavailable" in system.log("intake"), "the intake has noticed")
        system.wait_until(lambda: "store.unavailable" in system.log("worker"), "the worker has noticed")
        left = 300 - system.threads("intake") * IN_HAND  # not one more than may be in hand is fetched
        system.holds(
            lambda: system.broker.waiting("invoices.intake") >= left,
            "messages wait in the broker, not in the worker",
            6,
        )
        assert system.statuses("during-") == {}
        door.open()

        system.wait_for_statuses("before-", pending=20)
        system.wait_for_statuses("during-", paid=300)
        assert {name: process.pid for name, process in system.processes.items()} == pids
        assert {row["doubts"] for row in system.invoices().values()} == {0}  # their answers were kept
        assert system.creates() == dict.fromkeys(system.invoices(), 1)
        system.wait_until_told(180)
        system.check_history()
        system.check_told()


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_workers_killed_amid_calls_and_webhooks_leave_no_order_and_no_event_behind(kind, request, tmp_path):
    url = request.getfixturevalue("new_postgres_url") if kind == "postgresql" else None
    # Longer than the delay, and no longer than needed: the leases of killed workers last a time-out and more.
    accounts = {name: {"timeout_seconds": 10} for name in ("nebulox", "zeroxhost")}
    with running(System(tmp_path, database_url=url, accounts=accounts), "intake", "worker", "worker2") as system:
        for provider in ("nebulox", "zeroxhost"):
            system.control("faults", {"provider": provider, "fault": "delay", "argument": 2})
        receiver = system.sandbox.receiver_url(RECEIVER)
        system.ask(f"{receiver}/faults", {"delay_seconds": 0.5, "keep": True, "status": 204, "times": 60})
        for turn, name in enumerate(("worker", "worker2", "worker")):
            told = system.received()["received"]
            orders = [nebulox_order(f"{turn}-n-{n}", lifetime_minutes="0.05") for n in range(15)]
            system.order(*orders, *(zeroxhost_order(f"{turn}-z-{n}", "~pay:1~") for n in range(15)))
            system.wait_for_calls(f"{turn}-", 5)
            wait_for_webhooks(system, told)
            system.kill(name)
            system.start(name)

        system.wait_for_statuses(expired=45, paid=45)
        system.wait_until_told(150)

        doubts = {order_id: row["doubts"] for order_id, row in system.invoices().items()}
        repeated = {order: made for order, made in system.creates().items() if made > 1 + doubts[order]}
        assert not repeated, repeated
        system.check_history()
        system.check_told()


def wait_for_webhooks(system, told):
    """Until more have come in than ``told``: the receiver takes half a second to answer one."""
    system.wait_until(lambda: system.received()["received"] > told, "webhooks are in flight")


def test_processes_under_invoices_up_survive_a_broker_that_is_killed(tmp_path, broker):
    with System(tmp_path, broker=broker) as system:
        system.add_receiver()
        system.start_program("up", [sys.executable, "-m", "workers.cli", "up", "--no-sandbox"])
        system.wait_until(lambda: "pump.started" in system.log("up"), "the worker runs")
        system.order(zeroxhost_order("before", "~pay:1~"))
        system.wait_for_statuses(paid=1)

        for turn in range(2):
            system.restart_broker(signal.SIGKILL)
            system.order(*(zeroxhost_order(f"after-{turn}-{n}", "~pay:1~") for n in range(20)))
            system.wait_for_statuses(f"after-{turn}", paid=20)

        system.wait_until_told()
        system.check_history()
        assert system.kill("up", signal.SIGTERM) == 0
        pids = re.findall(r'"pid": (\d+)', system.log("up"))
        assert pids
        assert not [pid for pid in pids if is_ours(pid)]


def is_ours(pid):
    """Whether a process of that id runs, and is one of those that were started."""
    try:
        return b"workers.app" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False
