"""What stands around every request of the web process: hosts, proxies, bodies, errors, the log."""

from __future__ import annotations

import asyncio
import threading
import time

import httpx
import pytest
import structlog
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from workers.web.application import Surroundings, build_application
from workers.web.bodies import read_body
from workers.web.health import Health
from workers.web.metrics import Metrics
from workers.web.threads import StoreThreads

LIMIT = 100


async def echo(request):
    body = await read_body(request, LIMIT, 0.2)
    client = request.client.host if request.client else ""
    return PlainTextResponse(f"{client} {request.url.scheme} {len(body)}")


async def fail(request):
    raise RuntimeError("secret words of an error")


def make(**surroundings):
    given = {"trusted_proxies": (), "allowed_hosts": (), "metrics_allow": ("127.0.0.1/32",), "public_url": None}
    routes = [Route("/echo", echo, methods=["POST"]), Route("/fail", fail)]
    health = Health(StoreThreads(), lambda: None, lambda: None)
    return build_application(Surroundings(**given | surroundings), health, Metrics("1"), routes)


async def ask(application, method, path, *, peer="127.0.0.1", **options):
    transport = httpx.ASGITransport(application, client=(peer, 1234), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8420") as client:
        return await client.request(method, path, **options)


def test_a_host_that_is_none_of_ours_is_not_served():
    application = make(public_url="https://pay.example:8443/x", allowed_hosts=("other.example",))

    def status(host):
        return asyncio.run(ask(application, "GET", "/health/live", headers={"host": host})).status_code

    ours = ["127.0.0.1", "localhost:1", "[::1]:8420", "PAY.example", "pay.example:443", "other.example"]
    assert [status(host) for host in ours] == [200] * len(ours)
    foreign = ["evil.example", "", "pay.example.evil.example", "127.0.0.1.nip.io", "pay.example@evil.example", "[::2]"]
    foreign += [
        "localhost:8420@evil.example",
        "localhost:x",
        "[::1]evil.example",
        "[::1]:x",
        "[localhost",
        "localhost]",
    ]
    assert [status(host) for host in foreign] == [421] * len(foreign)


@pytest.mark.parametrize(
    ("trusted", "peer", "forwarded", "client"),
    [
        ((), "10.0.0.1", "1.2.3.4", "10.0.0.1"),
        (("10.0.0.0/8",), "11.0.0.1", "1.2.3.4", "11.0.0.1"),
        (("10.0.0.0/8",), "10.0.0.1", "1.2.3.4", "1.2.3.4"),
        (("10.0.0.0/8",), "10.0.0.1", "6.6.6.6, 1.2.3.4, 10.0.0.2", "1.2.3.4"),
        (("10.0.0.0/8",), "10.0.0.1", "", "10.0.0.1"),
        (("10.0.0.0/8",), "::ffff:10.0.0.1", "1.2.3.4", "1.2.3.4"),
    ],
)
def test_forwarded_headers_are_believed_of_trusted_proxies_only(trusted, peer, forwarded, client):
    headers = {"x-forwarded-for": forwarded, "x-forwarded-proto": "https"}
    answer = asyncio.run(ask(make(trusted_proxies=trusted), "POST", "/echo", peer=peer, headers=headers))

    believed = client != peer
    assert answer.text.split() == [
        client,
        "https" if believed or (trusted and peer.endswith("10.0.0.1")) else "http",
        "0",
    ]


def test_metrics_are_there_for_those_who_are_named_and_for_nobody_else():
    application = make()

    assert asyncio.run(ask(application, "GET", "/metrics")).status_code == 200
    assert asyncio.run(ask(application, "GET", "/metrics", peer="10.0.0.1")).status_code == 404
    # A forwarded header of somebody who isn't trusted opens nothing.
    headers = {"x-forwarded-for": "127.0.0.1"}
    assert asyncio.run(ask(application, "GET", "/metrics", peer="10.0.0.1", headers=headers)).status_code == 404


def test_metrics_are_read_by_address_and_a_name_that_is_none_of_ours_reads_none():
    """A page in somebody's browser on this host has a name of its own for us, and never an address."""
    application = make(metrics_allow=("127.0.0.1/32", "10.0.0.1/32"))

    def status(host, path="/metrics", peer="10.0.0.1"):
        return asyncio.run(ask(application, "GET", path, peer=peer, headers={"host": host})).status_code

    addresses = ["10.0.0.2:8420", "10.0.0.2", "[fd00::2]:8420"]
    assert [status(host) for host in addresses] == [200] * 3
    assert [status(host, peer="127.0.0.1") for host in addresses] == [200] * 3
    assert [status(host, peer="10.0.0.9") for host in addresses] == [404] * 3
    assert [status(host, "/health/live") for host in addresses] == [421] * 3
    names = ["evil.example", "", "10.0.0.2.nip.io", "metrics:8420"]
    assert [status(host, peer=peer) for peer in ("10.0.0.1", "127.0.0.1") for host in names] == [421] * 8


def test_a_body_is_counted_as_it_is_read():
    application = make()

    async def pieces():
        for _ in range(LIMIT + 1):
            yield b"x"

    async def trickle():
        yield b"x"
        await asyncio.sleep(5)

    def status(**options):
        return asyncio.run(ask(application, "POST", "/echo", **options)).status_code

    assert status(content=b"x" * LIMIT) == 200
    assert status(content=b"x" * (LIMIT + 1)) == 413
    assert status(content=pieces()) == 413
    assert status(content=trickle()) == 408
    assert status(content=b"x", headers={"content-encoding": "gzip"}) == 415


def test_an_error_nobody_has_caught_is_answered_told_and_shows_nothing():
    with structlog.testing.capture_logs() as lines:
        answer = asyncio.run(ask(make(), "GET", "/fail?token=abc"))

    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert "secret" not in answer.text
    told = [line for line in lines if line["event"] == "web.request"]
    assert [(line["path"], line["status"]) for line in told] == [("/fail", 500)]
    assert "abc" not in str(told)


def test_what_is_not_there_is_said_as_a_problem():
    application = make()

    missing = asyncio.run(ask(application, "GET", "/nowhere"))
    assert (missing.status_code, missing.json()["title"]) == (404, "Not Found")
    assert asyncio.run(ask(application, "GET", "/echo")).status_code == 405
    # A path that somebody made up is no label of a metric.
    assert "nowhere" not in asyncio.run(ask(application, "GET", "/metrics")).text


def test_an_answer_that_came_while_the_loop_was_held_up_is_the_answer():
    async def ask_late():
        threads = StoreThreads()
        answered = threading.Event()

        def answer():
            answered.set()
            return "kept"

        async def hold_up():
            assert answered.wait(30)
            time.sleep(0.05)  # noqa: ASYNC251 - longer than the time that the answer may take

        held_up = asyncio.create_task(hold_up())
        found = await threads.run(answer, seconds=0.01)
        await held_up
        return found

    assert asyncio.run(ask_late()) == "kept"


def test_a_time_out_of_the_call_itself_is_told_as_such():
    def time_out():
        raise TimeoutError("the call's own")

    with pytest.raises(TimeoutError, match="the call's own"):
        asyncio.run(StoreThreads().run(time_out, seconds=30))
