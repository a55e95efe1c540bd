"""A create whose answer is lost costs no twin where the provider's list echoes our order id."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from tests.acceptance.system import ROOT, START_SECONDS, System, running

pytestmark = [pytest.mark.engines, pytest.mark.timeout(900)]

#: The sister site's profile: its list's rows echo our order id. In the seed's profile they carry nothing of ours.
ACCOUNTS = {
    "sister": {"provider": "zeroxhost", "profile": "order"},
    "held": {"provider": "zeroxhost", "profile": "order"},
}
ACCOUNTS["held"] |= {"on_doubt": "hold"}
LOST = ("reset", "html", "truncated", "garbage", "accept_then_status=503", "accept_then_timeout=20")


@pytest.fixture(params=["sqlite", "postgresql"])
def system(request, tmp_path):
    url = None if request.param == "sqlite" else request.getfixturevalue("new_postgres_url")
    with running(System(tmp_path, database_url=url, accounts=ACCOUNTS), "intake", "worker") as system:
        yield system


def sister_order(order_id: str, fault: str = "", account: str = "sister") -> dict[str, Any]:
    params = {"user_id": f"u~fault:{fault}~" if fault else "u", "currency": "EUR"}
    params |= {"pay_currency": "BTC", "network": "Bitcoin"}
    return {"account": account, "order_id": order_id, "params": params}


def made(system: System) -> dict[str, list[str]]:
    """The references of what the provider has made, by order, the first one first."""
    found: dict[str, list[str]] = {}
    for one in system.control("invoices?provider=zeroxhost&limit=0")["invoices"]:
        found.setdefault(one["order_id"], []).insert(0, one["ref"])
    return found


def show(system: System, name: str) -> str:
    command = [sys.executable, "-m", "workers.cli", "show", name]
    environment = {**system.environment, "COLUMNS": "400"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, check=True, timeout=START_SECONDS)
    return done.stdout.decode()


def test_a_lost_answer_costs_no_twin_whatever_on_doubt_says(system):
    orders = {f"{account}-{fault}": (account, fault) for fault in LOST for account in ACCOUNTS}
    system.order(*(sister_order(name, fault, account) for name, (account, fault) in orders.items()))
    system.wait_for_statuses(pending=len(orders))
    refs = made(system)
    assert {name: len(found) for name, found in refs.items()} == dict.fromkeys(orders, 1)
    rows = system.invoices()
    assert {name: row["provider_ref"] for name, row in rows.items()} == {name: refs[name][0] for name in orders}
    assert all(row["address"] and row["twins"] is None for row in rows.values())
    system.wait_until_told()
    shown = show(system, "held-reset")
    assert "search" in shown
    assert "found as" in shown
    system.check_history()
    assert system.errors() == []


def test_a_worker_that_is_killed_while_it_searches_costs_no_twin(system):
    hang = {"provider": "zeroxhost", "operation": "list", "fault": "delay", "argument": 60, "times": 1}
    system.control("faults", hang)
    system.order(sister_order("killed", "reset"))

    def searching() -> bool:
        calls = system.control("calls?provider=zeroxhost&operation=list")["calls"]
        return any(call["fault"] == "delay" for call in calls)

    system.wait_until(searching, "the search is under way")
    system.kill("worker")
    system.start("worker")
    system.wait_for_statuses(pending=1)
    (row,) = system.invoices().values()
    assert made(system) == {"killed": [row["provider_ref"]]}
    assert row["doubts"] == 1
    evidence = system.rows("SELECT kind, detail FROM evidence ORDER BY id")
    assert [one["kind"] for one in evidence][-1] == "Found"
    assert json.loads(evidence[-1]["detail"])["provider_ref"] == row["provider_ref"]
