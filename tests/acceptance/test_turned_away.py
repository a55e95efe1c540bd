"""Calls that a proxy or a firewall turns away, a clock that is off, a hash that is none: the whole way, on SQLite."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from tests.acceptance.system import PATIENT, System, nebulox_order, running, zeroxhost_order

pytestmark = [pytest.mark.engines, pytest.mark.timeout(900)]

HASTY = {**PATIENT, "provider": "nebulox", "hold_refused_minutes": 0.1}


@pytest.fixture
def system(tmp_path):
    """A worker, an intake and beat; ``hasty`` gives orders up after six seconds."""
    accounts = {"nebulox": PATIENT, "hasty": HASTY, "zeroxhost": {**PATIENT, "poll_seconds": 0.3}}
    with running(System(tmp_path, accounts=accounts), "intake", "worker", "beat") as system:
        yield system


def test_an_order_outlives_what_stands_before_the_provider_and_is_made_once(system):
    system.order(
        nebulox_order("page~fault:page~"),
        zeroxhost_order("challenge", "~fault:challenge~"),
        nebulox_order("never~fault:page=410*1000~", account="hasty"),
        nebulox_order("refused~fault:refused~"),
    )
    system.wait_until(lambda: waiting(system), "an order says what it waits for")
    system.wait_for_statuses(pending=2, failed=2)
    found = system.invoices()
    assert {name.partition("~")[0]: (row["status"], row["reason"]) for name, row in found.items()} == {
        "page": ("pending", None),
        "challenge": ("pending", None),
        "never": ("failed", "provider_refuses"),
        "refused": ("failed", "HTTP 400: Order refused"),
    }
    made = system.control("invoices?limit=0")["invoices"]
    assert sorted(each["order_id"].partition("~")[0] for each in made) == ["challenge", "page"]
    calls = system.creates()
    assert (calls["page"], calls["challenge"], calls["refused"]) == (2, 2, 1)
    system.wait_until_told()
    system.check_history()
    system.check_told()
    assert system.errors() == []


def waiting(system):
    return any(row["reason"] == "provider_refuses" for row in system.invoices().values())


def test_a_clock_that_is_off_expires_nothing_early_and_a_placeholder_confirms_nothing(system):
    before = datetime.now(UTC)
    system.order(zeroxhost_order("skewed", "~fault:clock_off=-10800~"))
    system.wait_for_statuses(pending=1)
    (shown,) = system.command("show", "skewed", "--json")
    assert datetime.fromisoformat(shown["expires_at"]) >= before + timedelta(minutes=1)
    assert any("provider.clock_off" in line for line in system.log_lines())
    for tx_hash in ("null", "0x" + "0" * 64):
        body = {"provider": "zeroxhost", "ref": shown["provider_ref"], "word": "Paying", "tx_hash": tx_hash}
        system.control("status", body)
        looked = len(system.calls("skewed", "look_up"))
        system.wait_until(lambda seen=looked: len(system.calls("skewed", "look_up")) > seen + 1, "it is looked up")
        assert system.statuses() == {"pending": 1}
    system.control("pay", {"provider": "zeroxhost", "ref": shown["provider_ref"]})
    system.wait_for_statuses(paid=1)
    assert system.errors() == []
