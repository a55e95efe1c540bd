"""What systemd is told, without a process: the protocol's lines, and the variables that ask for them."""

from __future__ import annotations

import contextlib
import os
import socket
import threading

import pytest

from tests.servers import wait_until
from workers.telemetry.service_manager import open_service_manager


@pytest.fixture(params=["path", "abstract"])
def listener(request, tmp_path):
    """(the socket, its address as NOTIFY_SOCKET has it)"""
    address = str(tmp_path / "n") if request.param == "path" else f"@invoices-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as bound:
        bound.bind(address.replace("@", "\0", 1) if address.startswith("@") else address)
        bound.settimeout(60)
        yield bound, address


@pytest.fixture
def opened():
    """Managers that are closed in the end, each by its environment."""
    with contextlib.ExitStack() as stack:
        yield lambda environ: stack.enter_context(contextlib.closing(open_service_manager(environ)))


def asking(address, seconds):
    return {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": str(int(seconds * 1_000_000))}


def received(listener):
    return listener[0].recv(1000).decode().split("\n")


def test_ready_and_stopping_are_told_once_each(listener, opened):
    manager = opened(asking(listener[1], 10))
    for _ in range(2):
        manager.ready("worker")
        manager.stopping()
    manager.ready("worker")
    assert received(listener) == ["READY=1", "STATUS=worker: ready", "WATCHDOG=1"]
    assert received(listener) == ["STOPPING=1", "STATUS=finishes what is under way"]
    listener[0].setblocking(False)
    with pytest.raises(BlockingIOError):
        received(listener)


def test_signs_of_life_ask_for_patience_first_then_end_with_a_stuck_loop_and_go_on_after_it(listener, opened):
    loops: list[str] = []
    manager = opened(asking(listener[1], 0.02))
    manager.watch(lambda: list(loops))
    assert received(listener) == ["EXTEND_TIMEOUT_USEC=40000"]
    manager.ready("web")
    told = [line for _ in range(50) for line in received(listener)]
    assert set(told) <= {"EXTEND_TIMEOUT_USEC=40000", "READY=1", "STATUS=web: ready", "WATCHDOG=1"}
    assert told[-1] == "WATCHDOG=1"
    loops += ["pump", "consumer"]
    wait_until(lambda: received(listener) == ["STATUS=stuck: pump, consumer"], "it says which loops are stuck")
    loops.clear()
    assert received(listener) == ["WATCHDOG=1", "STATUS=goes on again"]


def test_the_variables_are_removed_so_that_no_child_speaks_for_us(listener, opened):
    environ = {"NOTIFY_SOCKET": listener[1], "WATCHDOG_USEC": "2000000", "WATCHDOG_PID": str(os.getpid()), "HOME": "/"}
    opened(environ).ready("beat")
    assert environ == {"HOME": "/"}
    assert "WATCHDOG=1" in received(listener)


@pytest.mark.parametrize(
    "asked", [{}, {"WATCHDOG_USEC": "0"}, {"WATCHDOG_USEC": "x"}, {"WATCHDOG_USEC": "9", "WATCHDOG_PID": "1"}]
)
def test_nobody_asked_this_process_for_signs_of_life(listener, opened, asked):
    opened({"NOTIFY_SOCKET": listener[1]} | asked).ready("beat")
    assert received(listener) == ["READY=1", "STATUS=beat: ready"]


@pytest.mark.parametrize("environ", [{}, {"NOTIFY_SOCKET": ""}, {"NOTIFY_SOCKET": "vsock:2:1"}])
def test_without_a_socket_nothing_is_told_and_nothing_runs(opened, environ):
    before = threading.active_count()
    manager = opened(dict(environ))
    manager.watch(list)
    manager.ready("worker")
    manager.stopping()
    assert threading.active_count() == before


def test_a_manager_that_is_gone_stops_nobody(tmp_path, opened):
    manager = opened(asking(str(tmp_path / "gone"), 10))
    manager.ready("worker")
    manager.stopping()
