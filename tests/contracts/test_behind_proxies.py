"""`invoices web` behind nginx and Caddy, each set up as its example in deploy/proxies: the same holds of both."""

from __future__ import annotations

import contextlib
import json
import socket
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest

from domain.permissions import Scope
from tests import callbacks
from tests.contracts.log_cases import place
from tests.contracts.store_cases import pend
from tests.contracts.web_process import ORDER, Site
from tests.proxies import PROXIES
from tests.servers import wait_until
from workers.store.schema import upgrade

pytestmark = [pytest.mark.engines, pytest.mark.timeout(900)]

PUBLIC = "https://localhost"
CLIENT = "127.0.0.9"  #: where the clients of this file come from; the proxies themselves come from 127.0.0.1
FORGED = {"X-Forwarded-For": "6.6.6.6", "X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "http"}


@pytest.fixture(scope="module", params=PROXIES)
def front(request, tmp_path_factory):
    """(the site, the proxy before it)."""
    folder = tmp_path_factory.mktemp(request.param)
    database_url = f"sqlite+pysqlite:///{folder}/invoices.db"
    upgrade(database_url)
    with contextlib.ExitStack() as stack:
        settings = {"INVOICES_TRUSTED_PROXIES": "127.0.0.1/32", "INVOICES_PUBLIC_URL": PUBLIC}
        site = stack.enter_context(contextlib.closing(Site(folder, database_url, **settings)))
        proxy = stack.enter_context(contextlib.closing(PROXIES[request.param](folder, site.web.url)))
        yield site, proxy


@pytest.fixture(scope="module")
def token(front):
    return front[0].token(Scope.ADMIN)


@pytest.fixture
def client(front, token):
    """A client outside, which sends no proxy's headers of its own."""
    with open_client(front[1], {"authorization": f"Bearer {token}"}) as client:
        yield client


def open_client(proxy, headers):
    transport = httpx.HTTPTransport(verify=proxy.trust(), local_address=CLIENT)
    return httpx.Client(base_url=proxy.url, headers=headers, transport=transport, timeout=60, trust_env=False)


def clients_seen(site, path):
    """From where the web process says that this path was asked for."""
    return [line["client"] for line in site.web.lines("web.request") if line["path"] == path]


def test_the_client_is_who_came_to_the_proxy_whatever_its_headers_say(front, client):
    site, _ = front
    assert client.get("/v1/invoices").status_code == 200
    assert (
        client.get("/v1/invoices", headers=FORGED).status_code == 200
    )  # not 421: its X-Forwarded-Host is not believed
    wait_until(lambda: clients_seen(site, "/v1/invoices") == [CLIENT, CLIENT], "both are in the log, with the address")
    other = client.get("/v1/invoices", headers={"host": "evil.example"})
    assert other.status_code == 421 or other.content == b""  # the web process says no, or is not asked at all


def test_who_comes_past_the_proxy_is_not_believed(front, token):
    site, _ = front
    transport = httpx.HTTPTransport(local_address=CLIENT)
    with httpx.Client(base_url=site.web.url, transport=transport, trust_env=False, timeout=60) as direct:
        answered = direct.get("/v1/deliveries", headers={"authorization": f"Bearer {token}", **FORGED})
    assert answered.status_code == 200
    wait_until(lambda: clients_seen(site, "/v1/deliveries") == [CLIENT], "its own address is in the log")


def test_a_signed_callback_arrives_byte_by_byte_as_it_was_sent(front, client):
    body = (
        b'{ "orderId":"inv_behind",\r\n\t"status" : "COMPLETED", "amount": "1.10000", "name": "\xc3\xa4\\u00e4" ,'
        + (b' "type":"INVOICE","trackingCode":77 }\n')
    )
    signed = {"x-hash": callbacks.sign(body), "content-type": "application/json"}
    assert client.post("/callbacks/nebulox", content=body, headers=signed).status_code == 200
    assert client.post("/callbacks/nebulox", content=body + b" ", headers=signed).status_code == 401
    chunked = client.post("/callbacks/nebulox", content=iter([body[:20], body[20:]]), headers=signed)
    assert chunked.status_code == 200


def test_a_stream_of_events_is_handed_on_as_it_comes(front, client):
    site, _ = front
    with client.stream("GET", "/v1/events?after=0", headers={"accept": "text/event-stream"}) as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        lines = stream.iter_lines()
        assert next(lines)  # it says that it is there before anything has happened
        invoices = pend(site.store, 1)
        place(site.store)
        data = next(line for line in lines if line.startswith("data: "))
        assert json.loads(data.removeprefix("data: "))["subject"] == invoices[0]


@pytest.mark.parametrize(
    ("path", "kind", "size"),
    [
        ("/callbacks/nebulox", "application/json", 65_537),
        ("/v1/orders", "application/json", 1_100_000),
        ("/v1/orders", "application/x-ndjson", 5_000_000),
    ],
)
def test_a_body_that_is_too_large_is_413_whoever_says_so(client, path, kind, size):
    answered = client.post(path, content=b"x" * size, headers={"content-type": kind})
    assert answered.status_code == 413


def test_a_body_without_a_length_is_bounded_too(client):
    chunks = (b"x" * 65_536 for _ in range(100))
    with contextlib.suppress(httpx.WriteError, httpx.ReadError, httpx.RemoteProtocolError):  # cut off while it sends
        answered = client.post("/v1/orders", content=chunks, headers={"content-type": "application/x-ndjson"})
        assert answered.status_code == 413
    assert client.get("/v1/invoices").status_code == 200


def test_headers_of_some_kilobytes_pass_and_more_is_refused(client):
    assert client.get("/v1/invoices", headers={"cookie": f"a={'x' * 6000}"}).status_code == 200
    assert 400 <= client.get("/v1/invoices", headers={"cookie": f"a={'x' * 200_000}"}).status_code < 500
    assert client.get("/v1/invoices").status_code == 200


def test_metrics_and_health_are_not_for_outside(client):
    for path in ("/metrics", "/health/live", "/health/ready"):
        assert client.get(path).status_code == 404, path


def test_the_console_knows_that_people_come_by_https(front):
    site, proxy = front
    (made,) = site.invoices("users", "add", f"ada.{proxy.name}", "--role", "viewer", "--json")
    with open_client(proxy, {}) as person:
        answered = person.post(
            "/console/sign-in",
            data={"name": f"ada.{proxy.name}", "password": made["password"]},
            headers={"origin": proxy.url, "sec-fetch-site": "same-origin"},
        )
        assert answered.status_code == 303
        assert "__Host-" in answered.headers["set-cookie"]
        assert "secure" in answered.headers["set-cookie"].lower()
        assert person.get("/console/").status_code == 200


def test_a_reload_breaks_off_nothing(front, client):
    site, proxy = front
    with client.stream("GET", "/v1/events", headers={"accept": "text/event-stream"}) as stream:
        lines = stream.iter_lines()
        assert next(lines)
        proxy.reload()
        with open_client(proxy, dict(client.headers)) as new:
            assert new.get("/v1/invoices").status_code == 200
        (invoice,) = pend(site.store, 1)
        place(site.store)
        assert any(invoice in line for line in lines)


class Answering(BaseHTTPRequestHandler):
    """Answers whatever is asked."""

    def do_GET(self):
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


#: A second web process, as each example takes it.
TWO = {"nginx": "127.0.0.1:{};\n    server 127.0.0.1:{}", "caddy": "127.0.0.1:{} 127.0.0.1:{}"}


@pytest.mark.parametrize("name", PROXIES)
def test_one_of_two_web_processes_may_be_down(tmp_path, name):
    with (
        ThreadingHTTPServer(("127.0.0.1", 0), Answering) as server,
        socket.socket() as down,
        ThreadPoolExecutor() as one,
    ):
        down.bind(("127.0.0.1", 0))  # and does not listen: connections are refused
        one.submit(server.serve_forever)
        behind = TWO[name].format(down.getsockname()[1], server.server_address[1])
        try:
            with contextlib.closing(PROXIES[name](tmp_path, behind)) as proxy, open_client(proxy, {}) as client:
                assert {client.get("/v1/invoices").status_code for _ in range(20)} == {200}
        finally:
            server.shutdown()


def test_an_order_sent_through_it_is_taken_once(front, client):
    given = {"idempotency-key": f"behind-{front[1].name}"}
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: client.post("/v1/orders", json=ORDER, headers=given), range(8)))
    assert sorted(one.status_code for one in answers) == [200] * 7 + [202]
    assert len({one.json()["id"] for one in answers}) == 1
