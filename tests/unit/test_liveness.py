"""A process is alive as long as its loops turn, or wait for something outside."""

from __future__ import annotations

import socket
import threading

import pytest

from workers.engine import Pump
from workers.telemetry.liveness import SILENT_SECONDS, Liveness, Turns
from workers.telemetry.metrics import Metrics
from workers.telemetry.server import MetricsServer

LOOPBACK = ("127.0.0.0/8",)


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def pump():
    """A pump without a stage."""

    async def no_works(_stack):
        return ()

    pump = Pump(no_works, lambda _: (), lambda _: None, lambda _: None)
    pump.start()
    yield pump
    pump.stop(5)


def test_a_loop_that_was_silent_for_long_is_stuck(clock):
    turns, alive = Turns(clock), Liveness()
    alive.watch("consumer", turns.goes_on)
    clock.now += SILENT_SECONDS - 1
    assert alive.stuck() == []
    clock.now += 1
    assert alive.stuck() == ["consumer"]
    turns.mark()
    assert alive.stuck() == []


def test_a_wait_for_a_broker_that_is_away_may_take_any_time(clock):
    turns = Turns(clock)
    with turns.waiting():
        clock.now += 100 * SILENT_SECONDS
        assert turns.goes_on()
    assert turns.goes_on()


def test_a_pump_answers_and_one_whose_loop_is_held_up_does_not(pump):
    assert pump.goes_on(30)
    go_on = threading.Event()
    pump._call(go_on.wait)
    try:
        assert not pump.goes_on(0.1)
    finally:
        go_on.set()
    assert pump.goes_on(30)


def test_a_pump_that_was_told_to_stop_is_not_stuck(pump):
    pump.stop(5)
    assert pump.goes_on(0)


@pytest.fixture
def listening():
    stuck: list[str] = []
    server = MetricsServer(Metrics("1").registry, 0, or_next=False, allowed=LOOPBACK, stuck=lambda: stuck)
    yield server.port, stuck
    server.close()


@pytest.fixture
def alive(invoices, monkeypatch):
    """`invoices alive` beside a process whose metrics are at this port; no web process is here."""

    def ask(port):
        monkeypatch.setenv("INVOICES_METRICS_PORT", str(port))
        monkeypatch.setenv("INVOICES_WEB_PORT", "1")
        return invoices("alive")

    return ask


def test_the_command_asks_the_process_here(alive, listening):
    port, stuck = listening
    ran = alive(port)
    assert (ran.code, ran.out) == (0, f"alive: 127.0.0.1:{port}\n")
    stuck.append("pump")
    ran = alive(port)
    assert (ran.code, ran.err) == (1, f"invoices: 127.0.0.1:{port} answers 503: stuck: pump\n")


def test_where_nobody_listens_nobody_is_alive(alive):
    with socket.socket() as bound:  # bound and not listening: nobody else gets the port meanwhile
        bound.bind(("127.0.0.1", 0))
        ran = alive(bound.getsockname()[1])
    assert ran.code == 1
    assert "nobody listens on" in ran.err
    assert "INVOICES_WEB_PORT" in ran.err


def test_a_process_that_takes_a_connection_and_says_nothing_sensible_is_not_alive(alive):
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answer():
            with listening.accept()[0] as one:
                one.recv(1000)
                one.sendall(b"nonsense\r\n\r\n")

        threading.Thread(target=answer, daemon=True).start()
        ran = alive(listening.getsockname()[1])
    assert (ran.code, ran.err.count("\n")) == (1, 1)
    assert "does not answer: BadStatusLine" in ran.err
