"""The embedded Valkey: one real server per home folder, whoever starts it and however they end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import kombu
import pytest
import redis

from workers.embedded.errors import EmbeddedError
from workers.embedded.valkey import address, ensure_valkey, find_server, is_running, recorded_pid, stop_valkey

ROOT = Path(__file__).parents[2]
STARTER = """
import sys, time
from pathlib import Path
from workers.embedded.valkey import ensure_valkey, recorded_pid
ensure_valkey(Path(sys.argv[1]))
print(recorded_pid(Path(sys.argv[1])), flush=True)
time.sleep(float(sys.argv[2]))
"""


@pytest.fixture
def home(tmp_path):
    try:
        find_server()
    except EmbeddedError as error:
        pytest.skip(str(error))
    yield tmp_path
    stop_valkey(tmp_path)


def start_elsewhere(home: Path, stay_seconds: float = 0) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", STARTER, str(home), str(stay_seconds)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def connect(home: Path) -> redis.Redis:
    return redis.Redis.from_url(address(home).redis_url, decode_responses=True)


def test_a_server_starts_on_a_private_socket_and_never_evicts(home):
    where = ensure_valkey(home)

    assert where == address(home)
    assert where.socket_path.stat().st_mode & 0o077 == 0
    with connect(home) as client:
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
        assert client.config_get("port") == {"port": "0"}


def test_both_urls_reach_the_same_database(home):
    where = ensure_valkey(home)

    with kombu.Connection(where.broker_url) as broker, connect(home) as client:
        with broker.SimpleQueue("orders") as queue:
            queue.put({"hello": "world"})
        assert client.llen("orders") == 1


def test_data_survives_a_stop_and_a_start(home):
    ensure_valkey(home)
    with connect(home) as client:
        client.set("order", "4711")
    stop_valkey(home)
    assert not is_running(home)

    ensure_valkey(home)

    with connect(home) as client:
        assert client.get("order") == "4711"


def test_a_second_call_finds_the_running_server(home):
    ensure_valkey(home)
    first = recorded_pid(home)

    ensure_valkey(home)

    assert recorded_pid(home) == first


def test_processes_that_start_at_once_share_one_server(home):
    starters = [start_elsewhere(home) for _ in range(4)]
    pids = {starter.communicate(timeout=180)[0].strip() for starter in starters}

    assert [starter.returncode for starter in starters] == [0] * 4
    assert len(pids) == 1


def test_a_server_whose_starter_was_killed_is_used_again(home):
    starter = start_elsewhere(home, stay_seconds=600)
    assert starter.stdout is not None
    pid = int(starter.stdout.readline())
    starter.send_signal(signal.SIGKILL)
    starter.communicate(timeout=180)

    ensure_valkey(home)

    assert recorded_pid(home) == pid


def test_a_killed_server_is_replaced(home):
    ensure_valkey(home)
    pid = recorded_pid(home)
    assert pid is not None
    with connect(home) as client:
        client.set("order", "4711")
        os.kill(pid, signal.SIGKILL)

    ensure_valkey(home)

    assert recorded_pid(home) != pid
    with connect(home) as client:
        assert client.get("order") == "4711"


def test_a_server_that_does_not_answer_is_reported_and_never_doubled(home):
    ensure_valkey(home)
    pid = recorded_pid(home)
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    try:
        with pytest.raises(EmbeddedError, match="does not answer"):
            ensure_valkey(home, timeout_seconds=0.1)
        assert recorded_pid(home) == pid
    finally:
        os.kill(pid, signal.SIGCONT)


def test_a_server_that_can_not_read_its_data_is_reported_with_the_end_of_its_log(home):
    ensure_valkey(home)
    stop_valkey(home)
    (home / "valkey" / "appendonlydir" / "appendonly.aof.manifest").write_text("rubbish\n")

    with pytest.raises(EmbeddedError, match=r"ended at once: .*(?i:manifest)"):
        ensure_valkey(home)


@pytest.mark.parametrize("name", ["x" * 120, "a name with 'quotes' and #?%"])
def test_a_home_that_no_socket_url_can_hold_gets_a_private_folder_elsewhere(home, name):
    awkward = home / name

    where = ensure_valkey(awkward)
    try:
        assert awkward not in where.socket_path.parents
        assert where.socket_path.parent.stat().st_mode & 0o077 == 0
        with connect(awkward) as client:
            assert client.ping()
    finally:
        stop_valkey(awkward)
    assert not where.socket_path.parent.exists()


def test_stopping_what_does_not_run_does_nothing(home):
    stop_valkey(home)

    assert not is_running(home)
