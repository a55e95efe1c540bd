"""The release of today takes over what release 1 left: real processes bring every row and message to its end."""

from __future__ import annotations

import json

import pytest

from tests.acceptance.facts import RECEIVER as RECEIVER_NAME
from tests.acceptance.system import ALL_PATIENT, PATIENT, System
from tests.upgrades.__main__ import RELEASES
from tests.upgrades.dump import load_rows
from tests.upgrades.keys import HELD_ORDER, load_keys
from tests.upgrades.messages import read_messages, refused_at_intake
from tests.upgrades.rows import ENDPOINT_ID, RECEIVER, WAYS, WEBHOOK_SECRET
from workers.store.database import Database

pytestmark = [pytest.mark.engines, pytest.mark.timeout(900)]

#: What was left in each state ends so. The sandbox does not know what release 1 made there: its invoices run out,
#: unless they had ended before.
ENDS = dict.fromkeys(("pending", "partially-paid", "leased-check", "leased-clock"), "expired") | {
    "confirming": "confirming",
    "late": "confirming",
    "queued": "paid",
    "queued-too-late": "failed",
    "queued-nebulox": "expired",
    "queued-unreached": "paid",
    "queued-parked": "queued",
    "queued-refused-key": "paid",
    "in-doubt": "paid",
    "leased-create": "paid",
    "leased-twice": "paid",
    "paid": "paid",
    "overpaid": "paid",
    "refunded": "refunded",
    "failed": "failed",
    "cancelled": "cancelled",
    "contradicted": "cancelled",
    "expired": "expired",
    "underpaid": "expired",
}
CLOSED = {"paid", "expired", "failed", "cancelled", "refunded"}


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_what_release_1_left_is_brought_to_its_end(request, tmp_path, kind):
    url = request.getfixturevalue("new_postgres_url") if kind == "postgresql" else None
    kept = RELEASES / "0001"
    accounts = {**ALL_PATIENT, "nebulox": {**PATIENT, "lifetime_minutes": "0.1"}}
    with System(tmp_path, database_url=url, accounts=accounts, stays_embedded=url is None, cold=True) as system:
        take_over(system, url or f"sqlite:///{tmp_path}/invoices.db", kept, kind)
        messages = read_messages(kept / "messages.jsonl")
        for message in messages:
            queue = message["item"]["properties"]["delivery_info"]["routing_key"]
            system.redis.lpush(queue, json.dumps(message["item"]))
        system.start("intake", "worker", "beat")

        system.wait_until(lambda: all_ended(system), "everything has ended", 400)
        ended = {order_id: row["status"] for order_id, row in system.invoices().items()}
        assert {name: ended[name] for name in ENDS} == ENDS
        assert set(WAYS) <= set(ENDS)
        assert ended[HELD_ORDER] == "paid"
        check_messages(system, messages, ended)
        check_told(system)
        assert system.errors() == []


def take_over(system: System, url: str, kept, kind: str) -> None:
    """As if release 1 had stopped a moment ago."""
    address = system.sandbox.receiver_url(RECEIVER_NAME)
    database = Database(url)
    load_rows(database, kept / f"rows.{kind}.sql", {RECEIVER: address})
    database.close()
    load_keys(system.redis, kept / "redis.jsonl")
    system.ask(f"{address}/secret", {"secret": WEBHOOK_SECRET})


def all_ended(system: System) -> bool:
    """Nothing is open but what stays so, nothing waits, and the message in dead hands came back."""
    found = system.invoices()
    stay = {"queued-parked", "confirming", "late"}
    settled = all(row["status"] in CLOSED for order_id, row in found.items() if order_id not in stay)
    return settled and HELD_ORDER in found and _quiet(system)


def _quiet(system: System) -> bool:
    """Nothing is left to be told, and no message waits."""
    untold = system.rows(
        "SELECT (SELECT count(*) FROM event WHERE published_at IS NULL) AS events,"
        " (SELECT count(*) FROM delivery WHERE state = 'due' AND endpoint_id = :endpoint) AS deliveries",
        endpoint=ENDPOINT_ID,
    )[0]
    waiting = system.redis.llen("invoices.intake") + system.redis.hlen("invoices.unacked")
    return not any(untold.values()) and not waiting


def check_messages(system: System, messages, ended) -> None:
    """Each order is an invoice, but those that either release refuses are listed with the reason."""
    wanted: set[str] = set()
    refused: set[str] = set()
    for message in messages:
        found = message["read"]
        if "refused" in found:
            refused.add(found["refused"])
        now = dict(refused_at_intake(message["item"]))
        for order in found.get("orders", []):
            reason = order.get("refused") or now.get(order["order_id"])
            (refused if reason else wanted).add(reason or order["order_id"])
    assert wanted <= set(ended)
    listed = {row["reason"] for row in system.rows("SELECT reason FROM rejected_message")}
    assert refused <= listed


def check_told(system: System) -> None:
    """Every event that was not told by release 1 reached receiver and stream; signatures are good; nothing is dead
    but what was."""
    counts = system.received()
    assert counts["invalid"] == 0, counts
    assert counts["out_of_order"] == 0, counts
    (row,) = system.rows("SELECT count(*) AS n FROM delivery WHERE state = 'dead'")
    assert row["n"] == 1
    stream = {entry["id"] for entry in system.stream()}
    old = system.rows("SELECT id FROM event WHERE number <= 4")
    assert {told["id"] for told in system.events()} - {row["id"] for row in old} <= stream
