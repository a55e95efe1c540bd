"""The namespaces of a run go with it, however it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import uuid

import pytest

from tests.bench.ground import ROOT
from tests.hosts.network import NoNetworkError, host_name, hub_name, inside, network
from tests.servers import START_SECONDS, wait_until

pytestmark = pytest.mark.engines

RUN = """
import sys, time
from tests.hosts.network import network
with network(sys.argv[1], 2):
    print("made", flush=True)
    if sys.stdin.readline():
        time.sleep(600)
"""


@pytest.fixture
def key():
    """A run's, where there may be networks."""
    key = f"test-{uuid.uuid4().hex[:6]}"
    try:
        with network(key, 1):
            pass
    except NoNetworkError as error:
        pytest.skip(str(error))
    return key


def names(key):
    listed = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True).stdout
    return {line.split()[0] for line in listed.splitlines() if f"-{key}-" in line}


def pids(name):
    listed = subprocess.run(["ip", "netns", "pids", name], capture_output=True, text=True, check=True).stdout
    return listed.split()


def start(key):
    command = [sys.executable, "-c", RUN, key]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"made\n"
    assert names(key) == {hub_name(key), host_name(key, 1), host_name(key, 2)}
    return process


def test_a_run_that_ends_leaves_no_namespace(key):
    process = start(key)
    process.communicate()
    assert (process.returncode, names(key)) == (0, set())


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_run_that_is_killed_leaves_no_namespace_and_nothing_that_runs_in_one(key, how):
    process = start(key)
    in_host = subprocess.Popen(inside(host_name(key, 1), "sleep", "600"))
    wait_until(lambda: str(in_host.pid) in pids(host_name(key, 1)), "it runs in the host's namespace")
    assert process.stdin is not None
    process.stdin.write(b"wait\n")
    process.stdin.flush()
    os.kill(process.pid, how)
    process.communicate()
    assert in_host.wait(START_SECONDS) == -signal.SIGKILL
    wait_until(lambda: names(key) == set(), "no namespace is left")
