"""The C library's own look-ups, against a name server that never answers about some names."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.contracts.hanging_names import DEAD

ROOT = Path(__file__).resolve().parents[2]
ALONE = ("unshare", "--map-root-user", "--mount", "--net", "sh", "-ec")
PREPARE = 'ip link set lo up; mount --bind "$1" /etc/resolv.conf; shift; exec "$@"'


@pytest.fixture
def in_namespaces(tmp_path):
    """What runs a command where 127.0.0.1 is its name server."""
    resolv = tmp_path / "resolv.conf"
    resolv.write_text("nameserver 127.0.0.1\noptions timeout:10 attempts:2\n")
    command = [*ALONE, PREPARE, "sh", str(resolv)]
    if (
        not shutil.which("unshare")
        or not shutil.which("ip")
        or subprocess.run([*command, "true"], check=False).returncode
    ):
        pytest.skip("no namespaces of our own here (Linux, unshare, iproute2)")
    return command


@pytest.mark.engines
def test_forty_names_without_an_answer_hold_up_neither_a_healthy_one_nor_the_end_of_the_process(in_namespaces):
    story = [*in_namespaces, sys.executable, "-m", "tests.contracts.hanging_names"]
    told = subprocess.run(story, check=False, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert told.returncode == 0, told.stderr
    assert json.loads(told.stdout) == {
        "healthy": ["delivered", None],
        "dead": ["failed"],
        "kinds": ["dns: no DNS answer"],
        "still_waiting": DEAD,
    }
    assert told.stderr == ""
