"""A process that serves nothing else shows its metrics on a port of its own: to loopback, or to whom it is allowed."""

from __future__ import annotations

import json
import socket
import urllib.error
import urllib.request

import pytest

from config.settings import SettingsError, load_settings
from config.web import MetricsPort
from workers.telemetry.metrics import Metrics
from workers.telemetry.server import MetricsServer, PortTaken

LOOPBACK = ("127.0.0.0/8", "::1/128")


@pytest.fixture
def serve():
    servers = []

    def start(port=0, *, or_next=False, allowed=LOOPBACK, stuck=tuple):
        servers.append(MetricsServer(Metrics("1").registry, port, or_next=or_next, allowed=allowed, stuck=stuck))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


@pytest.fixture
def taken():
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        yield busy.getsockname()[1]


def get(url):
    with urllib.request.urlopen(url, timeout=60) as answer:
        return answer.read().decode()


def test_it_serves_the_metrics_there_and_nothing_else(serve):
    url = serve().url
    assert "# TYPE invoices_commit_seconds histogram" in get(url)
    with pytest.raises(urllib.error.HTTPError, match="404"):
        get(url.replace("/metrics", "/"))


def test_who_is_not_named_finds_nothing(serve):
    with pytest.raises(urllib.error.HTTPError, match="404"):
        get(serve(allowed=("127.0.0.2/32",)).url)


def test_it_says_to_whoever_gets_through_that_it_is_alive(serve):
    url = serve(allowed=("127.0.0.2/32",)).url.replace("/metrics", "/health/live")
    assert json.loads(get(url)) == {"status": "ok"}


def test_it_names_the_loops_that_no_longer_turn(serve):
    url = serve(stuck=lambda: ["pump"]).url.replace("/metrics", "/health/live")
    with pytest.raises(urllib.error.HTTPError, match="503") as answered:
        get(url)
    assert json.load(answered.value) == {"status": "stuck", "loops": ["pump"]}


def test_it_listens_on_loopback_unless_somebody_else_is_allowed(serve):
    assert serve().url.startswith("http://127.0.0.1:")
    assert serve(allowed=(*LOOPBACK, "10.0.0.0/8")).url.startswith("http://0.0.0.0:")


def test_a_port_that_is_taken_is_named_with_its_setting(serve, taken):
    with pytest.raises(
        PortTaken, match=rf"^INVOICES_METRICS_PORT: port {taken} of 127.0.0.1 is taken.* {taken}\+ takes"
    ):
        serve(taken)


def test_the_next_free_port_is_taken_where_that_is_asked_for(serve, taken):
    found = serve(taken, or_next=True)
    assert taken < found.port < taken + 100
    assert get(found.url)


def test_its_port_is_free_again_when_it_is_closed():
    server = MetricsServer(Metrics("1").registry, 0, or_next=False, allowed=LOOPBACK)
    server.close()
    MetricsServer(Metrics("1").registry, server.port, or_next=False, allowed=LOOPBACK).close()


@pytest.mark.parametrize(
    ("text", "port"), [("0", (0, False)), ("9400", (9400, False)), ("9400+", (9400, True)), ("65535+", (65535, True))]
)
def test_the_setting_is_a_port_or_a_port_with_a_plus(text, port):
    assert load_settings({"INVOICES_METRICS_PORT": text}).metrics_port == MetricsPort(*port)


@pytest.mark.parametrize("text", ["0+", "65536", "+", "9400 +", "-1", "any", "9400++", "٩٤٠٠"])
def test_anything_else_is_refused_and_named(text):
    with pytest.raises(SettingsError, match=r"^INVOICES_METRICS_PORT: must be 0"):
        load_settings({"INVOICES_METRICS_PORT": text})


def test_it_is_off_when_nobody_says_anything():
    assert load_settings({}).metrics_port.number == 0
