"""Real processes tell systemd what the units promise: ready, alive, stopping. The socket is ours."""

from __future__ import annotations

import itertools
import signal
import time
import urllib.request

import pytest

from tests.acceptance.proxy import Door
from tests.acceptance.system import System, running
from tests.servers import wait_until
from tests.systemd.manager import HANG_MAIN, HANG_PUMP, PATIENCE, managed, plant_hangs

pytestmark = [pytest.mark.engines, pytest.mark.drills, pytest.mark.timeout(900)]

#: How often systemd wants a sign of life. Half of it is enough for a process on a machine that is busy, too.
SECONDS = 10.0


@pytest.fixture(scope="module")
def door():
    with Door() as door:
        yield door


@pytest.fixture(scope="module")
def system(tmp_path_factory, door):
    with running(System(tmp_path_factory.mktemp("s"), cold=True)) as system:
        door.target = system.broker.broker_url.removeprefix("redis+socket://")
        system.environment["INVOICES_BROKER_URL"] = f"redis://127.0.0.1:{door.port}/0"
        yield system


@pytest.fixture
def manager(system, door, tmp_path):
    before = dict(system.environment)
    with managed() as manager:
        system.environment |= plant_hangs(tmp_path, manager.release)
        system.environment |= {"NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": str(int(SECONDS * 1_000_000))}
        yield manager
    for name in list(system.processes):
        system.kill(name)
    door.open()
    system.environment = before


def ends_well(system, manager, role):
    assert not manager.told("STOPPING=1")
    assert system.kill(role, signal.SIGTERM) == 0
    manager.await_line("STOPPING=1")


def stays_silent(manager, since):
    """No sign of life since then, nor until one would long have been due."""
    time.sleep(SECONDS)
    return not [when for when in manager.told("WATCHDOG=1") if when > since]


def lives_again(manager, since):
    wait_until(lambda: manager.told("WATCHDOG=1")[-1] > since, "signs of life again", PATIENCE)


def signs_come_at_half_the_interval(manager):
    """Where the machine does not hold up who sends or who listens, as it may now and then."""

    def has_come():
        waits = [after - before for before, after in itertools.pairwise(manager.told("WATCHDOG=1"))]
        return any(abs(wait - SECONDS / 2) < 1 for wait in waits[1:])  # the first comes with READY=1

    wait_until(has_come, "a sign of life after half the interval", PATIENCE)


def stands_still(system, manager, role):
    """Stopped from outside, and let go on again."""
    system.processes[role].send_signal(signal.SIGSTOP)
    stopped_at = manager.mark()  # what was told before has come by then
    assert stays_silent(manager, stopped_at)
    system.processes[role].send_signal(signal.SIGCONT)
    lives_again(manager, stopped_at)


def hangs(system, manager, role, what, loop):
    """One loop of the process hangs, its other threads run; then it goes on."""
    system.processes[role].send_signal(what)
    manager.await_line(f"STATUS=stuck: {loop}")
    since = manager.told(f"STATUS=stuck: {loop}")[0]
    assert stays_silent(manager, since)
    assert "process.stuck" in system.new_log(role)
    manager.release.touch()
    lives_again(manager, since)
    assert manager.told("STATUS=goes on again")
    manager.release.unlink()


@pytest.mark.parametrize(
    ("role", "loops"),
    [
        ("intake", {"consumer": HANG_MAIN}),
        ("worker", {"consumer": HANG_MAIN, "pump": HANG_PUMP}),
        ("beat", {"beat": HANG_MAIN}),
    ],
)
def test_it_asks_for_patience_until_it_serves_and_gives_signs_of_life_while_all_loops_turn(
    system, manager, door, role, loops
):
    door.shut()
    system.launch(role)
    manager.await_line("EXTEND_TIMEOUT_USEC=", 2)
    assert not manager.told("READY=1") + manager.told("WATCHDOG=1")
    door.open()
    manager.await_line("READY=1")
    assert manager.told(f"STATUS={role}: ready")
    signs_come_at_half_the_interval(manager)
    stands_still(system, manager, role)
    for loop, what in loops.items():
        hangs(system, manager, role, what, loop)
    ends_well(system, manager, role)
    assert len(manager.told("READY=1")) == 1


def test_web_is_ready_when_it_answers_and_alive_while_it_could_answer(system, manager):
    system.launch("web")
    manager.await_line("READY=1")
    with urllib.request.urlopen(f"{system.web_url()}/health/live", timeout=60) as answer:
        assert answer.status == 200
    signs_come_at_half_the_interval(manager)
    stands_still(system, manager, "web")
    hangs(system, manager, "web", HANG_MAIN, "requests")
    ends_well(system, manager, "web")


def test_without_a_watchdog_nobody_is_told_that_it_lives(system, manager):
    del system.environment["WATCHDOG_USEC"]
    system.launch("beat")
    manager.await_line("READY=1")
    ends_well(system, manager, "beat")
    assert not manager.told("WATCHDOG=1")
