"""``/v1`` of a web process over real sockets, on both databases: tokens made by the command line, orders, waiting."""

from __future__ import annotations

import json
import signal
from concurrent.futures import ThreadPoolExecutor

import httpx

from domain.permissions import Scope
from tests.contracts.web_process import ORDER, SLOWLY_ON_BOTH, Web
from tests.servers import wait_until
from workers.embedded.valkey import stop_valkey


@SLOWLY_ON_BOTH
def test_a_token_of_the_command_line_opens_what_it_is_for(site):
    (made,) = site.invoices(
        "tokens",
        "add",
        "--json",
        "shop",
        "--scope",
        "orders",
        "--scope",
        "read",
        "--account",
        "nebulox",
        "--days",
        "30",
    )
    with site.client(made["token"]) as client:
        sent = client.post("/v1/orders", json=ORDER, headers={"idempotency-key": '"k-1"'})
        assert sent.status_code == 202
        assert client.get(sent.headers["location"]).json() == sent.json()
        again = client.post("/v1/orders", json=ORDER, headers={"idempotency-key": "k-1"})
        assert (again.status_code, again.headers["idempotency-replayed"]) == (200, "true")
        assert client.post("/v1/orders", json=ORDER | {"account": "zeroxhost"}).status_code == 403
        assert client.get(sent.headers["location"], headers={"host": "evil.example"}).status_code == 421
        assert client.get("/v1/invoices", headers={"authorization": ""}).status_code == 401
        wait_until(lambda: site.invoices("tokens", "list", "--json")[0]["last_used_at"], "its use is noted")
        assert made["token"] not in str(site.invoices("tokens", "list", "--json"))
        site.invoices("tokens", "revoke", made["id"], "--json")
        assert client.get(sent.headers["location"]).status_code == 401
    assert made["token"].partition(".")[2] not in site.web.log.read_text()


@SLOWLY_ON_BOTH
def test_an_order_that_waits_is_201_once_it_can_be_paid_and_a_stop_lets_nobody_wait(site):
    token = site.token(Scope.ADMIN)
    with site.client(token) as client, ThreadPoolExecutor() as beside:
        sending = beside.submit(client.post, "/v1/orders", json=ORDER, headers={"prefer": "wait=30"})
        wait_until(lambda: client.get("/v1/invoices").json()["invoices"], "it is stored")
        (invoice,) = client.get("/v1/invoices").json()["invoices"]
        site.pend(invoice["id"])
        answered = sending.result(60)
        assert (answered.status_code, answered.json()["pay_amount"]) == (201, "0.0358619204")

        waiting = beside.submit(client.get, f"/v1/invoices/{invoice['id']}?wait=30&after=1")
        wait_until(lambda: "invoices_api_waiting 1.0" in client.get("/metrics").text, "it waits")
        site.web.process.send(signal.SIGTERM)
        assert waiting.result(60).json()["sequence"] == 1
        wait_until(lambda: not site.web.process.runs(), "it has ended")
    stopped = [line for line in site.web.lines("web.request") if line["path"].endswith(invoice["id"])]
    assert [line["status"] for line in stopped] == [200]


@SLOWLY_ON_BOTH
def test_many_lines_are_answered_each_and_bodies_are_counted_as_they_come(site):
    lines = "\n".join(json.dumps(ORDER | {"order_id": str(number)}) for number in range(100)) + "\n{"

    def pieces():
        for _ in range(70):
            yield b" " * 1024

    with site.client(site.token(Scope.ORDERS)) as client:
        answered = client.post("/v1/orders", content=lines, headers={"content-type": "application/x-ndjson"})
        too_long = client.post("/v1/orders", content=pieces(), headers={"content-type": "application/json"})
    assert [json.loads(line)["status"] for line in answered.text.splitlines()] == [202] * 100 + [400]
    assert too_long.status_code == 413


def test_without_the_api_among_what_is_served_there_is_none(tmp_path):
    web = Web(tmp_path, INVOICES_WEB_SERVE="callbacks")
    try:
        assert httpx.get(f"{web.url}/v1/invoices", timeout=60, trust_env=False).status_code == 404
    finally:
        web.process.end()
        stop_valkey(tmp_path)
