"""A budget for look-ups on the Procfile's processes: payments are seen, and the provider is asked no more than that."""

from __future__ import annotations

import time

import pytest

from tests.acceptance.system import PATIENT, System, running, zeroxhost_order

pytestmark = [pytest.mark.engines, pytest.mark.timeout(900)]

RATE = 2.0
ORDERS = 40
ACCOUNTS = {
    "nebulox": PATIENT,
    "zeroxhost": {**PATIENT, "poll_seconds": 0.3, "look_ups_per_second": RATE},
}


@pytest.fixture(params=["sqlite", "postgresql"])
def system(request, tmp_path):
    url = None if request.param == "sqlite" else request.getfixturevalue("new_postgres_url")
    with running(System(tmp_path, database_url=url, accounts=ACCOUNTS), "intake", "worker") as system:
        yield system


def test_all_payments_are_seen_with_fewer_calls_than_invoices_where_the_provider_has_lists(system):
    begun = time.time()
    system.order(*(zeroxhost_order(f"order-{number}", "~pay:3~") for number in range(ORDERS)))
    system.wait_for_statuses(paid=ORDERS)
    calls = system.control("calls?limit=0")["calls"]
    asked = [call for call in calls if call["provider"] == "zeroxhost" and call["operation"] != "create"]
    assert {call["operation"] for call in asked} >= {"list"}
    assert 0 < len(asked) <= RATE * (time.time() - begun) + RATE
    assert system.errors() == []
