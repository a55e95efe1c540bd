"""Orders with several accounts, on the Procfile's processes: who makes them, who never does, and what is shown."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.acceptance.system import PATIENT, ROOT, START_SECONDS, System, running

pytestmark = [pytest.mark.engines, pytest.mark.timeout(900)]

NOBODY = "http://127.0.0.1:1"  #: nobody listens there
ACCOUNTS = {
    "nebulox": {**PATIENT, "on_doubt": "hold"},
    "zeroxhost": PATIENT,
    "down": {**PATIENT, "provider": "nebulox", "base_url": NOBODY},
    "wrong-key": {**PATIENT, "provider": "nebulox", "api_key": "not-the-sandbox's"},
}
PRICE = {"price": "12.50", "currency": "EUR"}


@pytest.fixture(params=["sqlite", "postgresql"])
def system(request, tmp_path):
    url = None if request.param == "sqlite" else request.getfixturevalue("new_postgres_url")
    with running(System(tmp_path, database_url=url, accounts=ACCOUNTS), "intake", "worker") as system:
        yield system


def at_zeroxhost(user_id, **fields):
    return {"account": "zeroxhost", "params": {"user_id": user_id, "server_id": "server-1"}} | fields


def show(system, name):
    """What `invoices show` prints, on one line for each that it has."""
    command = [sys.executable, "-m", "workers.cli", "show", name]
    environment = {**system.environment, "COLUMNS": "400"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, check=True, timeout=START_SECONDS)
    return done.stdout.decode()


def test_the_next_account_makes_what_the_one_before_certainly_did_not_and_only_that(system):
    orders = {
        "refused~fault:refused~": ("nebulox", [at_zeroxhost("welcome")]),
        "unreachable": ("down", [at_zeroxhost("unreachable")]),
        "key": ("wrong-key", ["down", {"account": "nebulox", "price": "9.90", "currency": "USD"}]),
        "doubt~fault:reset~": ("nebulox", [at_zeroxhost("doubt")]),
        "both~fault:refused~": ("nebulox", [at_zeroxhost("refuse-this-user")]),
    }
    for name, (account, others) in orders.items():
        system.order({"account": account, "order_id": name, "fallback_accounts": others, **PRICE})
    system.wait_for_statuses(pending=3, in_doubt=1, failed=1)
    system.wait_until_told()

    found = {name.partition("~")[0]: row for name, row in system.invoices().items()}
    assert {name: (row["account"], row["provider_account"], row["status"]) for name, row in found.items()} == {
        "refused": ("nebulox", "zeroxhost", "pending"),
        "unreachable": ("down", "zeroxhost", "pending"),
        "key": ("wrong-key", "nebulox", "pending"),
        "doubt": ("nebulox", "nebulox", "in_doubt"),
        "both": ("nebulox", "zeroxhost", "failed"),
    }
    told = {
        entry["envelope"]["data"]["order_id"].partition("~")[0]: entry["envelope"]["data"] for entry in system.events()
    }
    assert (told["key"]["price"], told["key"]["currency"]) == ("9.90", "USD")
    assert (told["refused"]["provider"], told["refused"]["provider_account"]) == ("zeroxhost", "zeroxhost")
    assert (told["both"]["status"], told["both"]["reason"]) == ("failed", found["both"]["reason"])
    assert "not found" in found["both"]["reason"].lower()
    made = [each["provider"] for each in system.control("invoices?limit=0")["invoices"]]
    assert sorted(made) in (["nebulox", "zeroxhost", "zeroxhost"], ["nebulox", "nebulox", "zeroxhost", "zeroxhost"])
    assert max(system.creates().values()) <= 2  # each account once
    assert "next: zeroxhost" in show(system, "refused~fault:refused~")
    assert "down: can't be reached" in show(system, "unreachable")
    system.check_history()
    assert system.errors() == []


def test_an_order_that_one_of_its_accounts_could_not_take_is_turned_away_at_once(system):
    system.order({"account": "nebulox", "order_id": "bad", "fallback_accounts": ["zeroxhost"], **PRICE})
    (rejected,) = system.wait_until(lambda: system.command("rejected", "--json"), "the order is listed")
    assert rejected["reason"].startswith("fallback_accounts.0: params.user_id: ")
    assert system.invoices() == {}
