"""Orders over HTTP by real processes: from the request to the shop's webhook, and through kills of the web process."""

from __future__ import annotations

import json
import subprocess
import sys
import threading

import httpx
import pytest

from tests.acceptance.awaited import DEADLINE_SECONDS
from tests.acceptance.system import PATIENT, ROOT, START_SECONDS, System, nebulox_order, running
from tests.acceptance.test_callbacks import call_back, pay

ORDERS, KILLS, SENDERS = 300, 4, 4


@pytest.fixture
def system(tmp_path):
    """Without an intake: nothing comes by message."""
    with running(System(tmp_path, accounts={"nebulox": {**PATIENT, "poll_seconds": 3600}}), "worker", "web") as system:
        yield system


def new_token(system, *scopes):
    """As an operator makes one."""
    command = [sys.executable, "-m", "workers.cli", "tokens", "add", "shop", "--json"]
    command += [part for scope in scopes for part in ("--scope", scope)]
    ran = subprocess.run(
        command, cwd=ROOT, env=system.environment, capture_output=True, text=True, timeout=START_SECONDS, check=True
    )
    return json.loads(ran.stdout)["token"]


def connect(system, token):
    headers = {"authorization": f"Bearer {token}"}
    return httpx.Client(base_url=system.web_url(), headers=headers, timeout=60, trust_env=False)


@pytest.mark.engines
def test_an_order_sent_by_http_can_be_paid_at_once_and_becomes_paid(system):
    with connect(system, new_token(system, "orders", "read")) as shop:
        sent = shop.post("/v1/orders", json=nebulox_order("by-http"), headers={"prefer": "wait=30"})
        assert sent.status_code == 201, sent.text
        invoice = sent.json()
        assert invoice["status"] == "pending"
        assert invoice["address"] or invoice["payment_url"]
        pay(system, "by-http")
        assert call_back(system, "by-http")[0][0] == 200
        while invoice["status"] != "paid":
            path = f"/v1/invoices/{invoice['id']}"
            invoice = shop.get(path, params={"wait": 30, "after": invoice["sequence"]}).json()
        (listed,) = shop.get("/v1/invoices", params={"order_id": "by-http"}).json()["invoices"]
        assert listed == invoice
    system.wait_until_told()
    system.check_history()
    system.check_told()
    assert system.received()["types"]["invoice.paid"] == 1


@pytest.mark.engines
def test_what_was_answered_202_is_there_though_the_web_process_is_killed_and_nothing_is_there_twice(system):
    """Senders send each order until it is answered, as a shop does; kills come while they do."""
    token = new_token(system, "orders")
    answered: dict[str, set[str]] = {}
    waiting = [f"kill-{number}" for number in range(ORDERS)]
    halt = threading.Event()

    def send_all():
        while waiting and not halt.is_set():
            try:
                order_id = waiting.pop()
            except IndexError:
                return
            while not halt.is_set() and not _send(system, token, order_id, answered):
                halt.wait(0.2)

    threads = [threading.Thread(target=send_all) for _ in range(SENDERS)]
    for thread in threads:
        thread.start()
    try:
        for kill in range(1, KILLS + 1):
            system.wait_until(lambda kill=kill: len(answered) >= kill * ORDERS // (KILLS + 1), "some are answered")
            system.restart("web")
        for thread in threads:
            thread.join(DEADLINE_SECONDS)
    finally:
        halt.set()
    assert len(answered) == ORDERS
    kept = {row["order_id"]: row["id"] for row in system.rows("SELECT id, order_id FROM invoice")}
    assert {order_id: {kept[order_id]} for order_id in kept} == answered
    assert system.rows("SELECT count(*) AS n FROM invoice")[0]["n"] == ORDERS
    system.wait_for_statuses("kill-", pending=ORDERS)
    assert set(system.creates("kill-").values()) == {1}


def _send(system, token, order_id, answered):
    """Whether it was answered."""
    try:
        with connect(system, token) as shop:
            sent = shop.post("/v1/orders", json=nebulox_order(order_id))
    except (httpx.HTTPError, IndexError):  # the process was killed, or has not said yet where it listens
        return False
    assert sent.status_code in {200, 202, 503}, sent.text
    if sent.status_code == 503:
        return False
    answered.setdefault(order_id, set()).add(sent.json()["id"])
    return True
