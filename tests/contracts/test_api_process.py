"""``/v1`` of a web process over real sockets, on both databases: tokens made by the command line, orders, waiting."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import httpx
import pytest

from domain.permissions import Scope
from tests.contracts.store_cases import created, judge, open_store
from tests.contracts.test_web_process import ROOT, Web
from tests.servers import wait_until
from workers.embedded.valkey import stop_valkey
from workers.store.acts import Actor
from workers.store.database import Database
from workers.store.operate.tokens import NewToken, add

KEY = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
ORDER = {"account": "nebulox", "order_id": "1001", "price": "10.50", "currency": "EUR"}


class Site:
    """A web process on a database of its own, and the command beside it."""

    def __init__(self, home, database_url, **settings):
        self.settings = {"INVOICES_DATABASE_URL": database_url, "INVOICES_SECRET_KEY": KEY} | settings
        self.web = Web(home, **self.settings)
        self.database = Database(database_url)
        self.store = open_store(self.database)

    def invoices(self, *arguments):
        """The command; its output as JSON Lines."""
        command = [sys.executable, "-m", "workers.cli", *arguments]
        ran = subprocess.run(
            command, cwd=ROOT, env=self.web.environment, capture_output=True, text=True, timeout=120, check=False
        )
        assert ran.returncode == 0, ran.stderr
        return [json.loads(line) for line in ran.stdout.splitlines()]

    def token(self, *scopes):
        """Made without the command, which takes longer."""
        return add(self.store, Actor("admin", "tests"), NewToken("shop", scopes))[1]

    def client(self, token):
        return httpx.Client(
            base_url=self.web.url, headers={"authorization": f"Bearer {token}"}, timeout=60, trust_env=False
        )

    def pend(self, invoice_id):
        judge(self.store, invoice_id, created(pay_amount=Decimal("0.0358619204")))


@pytest.fixture
def site(tmp_path, database_url):
    site = Site(tmp_path, database_url)
    yield site
    site.web.process.end()
    site.database.close()
    stop_valkey(tmp_path)


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
        assert httpx.get(f"{web.url}/v1/invoices", trust_env=False).status_code == 404
    finally:
        web.process.end()
        stop_valkey(tmp_path)
