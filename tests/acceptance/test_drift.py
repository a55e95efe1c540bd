"""A provider that sends what it never sent: seen by real workers in creates, look-ups and callbacks, told once."""

from __future__ import annotations

import json

import pytest

from tests.acceptance.system import System, nebulox_order, running, zeroxhost_order
from tests.callbacks import nebulox_callback, post

LISTED = """
SELECT drift.kind, (SELECT count(*) FROM drift_invoice WHERE drift_id = drift.id) AS invoices
FROM provider_drift AS drift
"""


@pytest.fixture
def system(tmp_path):
    accounts = {"zeroxhost": {"poll_seconds": 1}, "nebulox": {"poll_seconds": 3600}}
    with running(System(tmp_path, accounts=accounts), "intake", "worker", "worker2", "web") as system:
        yield system


@pytest.mark.engines
def test_a_word_and_a_field_that_nobody_documented_are_told_once_by_several_workers(system):
    system.order(*(zeroxhost_order(f"w-{n}", f"-{n}~look_up_fault:new_word*3~") for n in range(6)))
    system.order(*(nebulox_order(f"f-{n}~fault:new_field~") for n in range(6)), nebulox_order("called"))
    system.wait_for_statuses("called", pending=1)
    body = nebulox_callback("called", "PENDING", riskLevel=3)
    assert post(f"{system.web_url()}/callbacks/nebulox", body)[0] == 200

    def counted():
        return sorted((row["kind"], row["invoices"]) for row in system.rows(LISTED))

    system.wait_until(lambda: counted() == [("field", 1), ("field", 6), ("word", 6)], "all of it is counted")
    told = [json.loads(row["body"]) for row in system.rows("SELECT body FROM event WHERE type = 'provider.drift'")]
    assert sorted(event["data"]["text"] for event in told) == [
        "nebulox sends a field it never sent: result.aml_check (create)",
        "nebulox sends a field it never sent: riskLevel (callback)",
        "zeroxhost sends a status it never sent: aml_hold",
    ]
    assert {one["text"] for one in system.command("drift", "list", "--json")} == {
        event["data"]["text"] for event in told
    }
