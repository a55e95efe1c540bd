"""What a sandbox that is started again still knows, however it ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.contracts.sandbox_client import (
    control,
    create_nebulox,
    create_zeroxhost,
    look_up,
    new_id,
)
from workers.embedded.sandbox.process import SandboxProcess

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def restarted(tmp_path):
    """Runs a story at a sandbox, kills it, and gives the next one on the same file."""
    state = tmp_path / "sandbox.db"

    def restarted(story):
        with SandboxProcess("--state", str(state)) as sandbox:
            story(sandbox)
            os.kill(sandbox.pid, signal.SIGKILL)
        assert state.stat().st_mode & 0o077 == 0
        return SandboxProcess("--state", str(state))

    return restarted


def view(sandbox, order):
    """What the control address shows of the newest invoice of an order, but for the time it was looked at."""
    return control(sandbox, f"invoices?order_id={order}")[1]["invoices"][0]


def test_invoices_are_as_they_were_after_a_kill(restarted):
    seen, order = {}, new_id()

    def story(sandbox):
        create_nebulox(sandbox, order, price="12.3400")
        seen["track"] = create_zeroxhost(sandbox, f"user-{order}")[1]["data"]["track_id"]
        control(sandbox, "pay", {"provider": "zeroxhost", "ref": seen["track"]})
        control(sandbox, "lifetime", {"seconds": 77})
        seen["nebulox"], seen["paid"] = view(sandbox, order), look_up(sandbox, seen["track"])

    with restarted(story) as sandbox:
        assert view(sandbox, order) == seen["nebulox"]
        assert look_up(sandbox, seen["track"]) == seen["paid"]
        assert seen["paid"][1]["data"]["status"] == "Paid"
        assert int(create_zeroxhost(sandbox, "another")[1]["data"]["track_id"]) > int(seen["track"])
        made = view(sandbox, "another")
        assert made["expires_at"] - int(made["created_at"]) == 77


def test_what_has_fired_does_not_fire_again_and_rules_stay(restarted):
    order = new_id("~fault:status=503*2~")

    def story(sandbox):
        assert create_nebulox(sandbox, order)[0] == 503
        rule = {"provider": "zeroxhost", "fault": "status", "argument": 500, "times": 2}
        control(sandbox, "faults", rule)
        assert create_zeroxhost(sandbox, "user-1")[0] == 500

    with restarted(story) as sandbox:
        assert [create_nebulox(sandbox, order)[0] for _ in range(2)] == [503, 201]
        assert [create_zeroxhost(sandbox, "user-1")[0] for _ in range(2)] == [500, 200]
        assert control(sandbox, "faults")[1]["faults"][0]["fired"] == 2
        control(sandbox, "faults", method="DELETE")


def test_without_a_file_all_is_forgotten():
    with SandboxProcess() as sandbox:
        create_nebulox(sandbox, "order-1")
    with SandboxProcess() as sandbox:
        assert control(sandbox, "invoices")[1]["count"] == 0


@pytest.mark.parametrize(
    ("content", "said"), [(b"no database" * 100, "file is not a database"), (None, "Is a directory")]
)
def test_a_file_that_is_none_of_its_own_is_one_line(tmp_path, content, said):
    path = tmp_path / "state"
    path.mkdir() if content is None else path.write_bytes(content)
    ended = ended_with("--state", path)
    assert (ended.returncode, ended.stderr.count("\n")) == (2, 1)
    assert f"argument --state: state: {path}: {said}" in ended.stderr


def test_two_at_one_file_and_a_seed_beside_it_are_refused(tmp_path):
    state = tmp_path / "sandbox.db"
    with SandboxProcess("--state", str(state)):
        ended = ended_with("--state", state)
        assert (ended.returncode, "does another sandbox use it?" in ended.stderr) == (2, True)
    assert "argument --seed" in ended_with("--state", state, "--seed", "1").stderr


def ended_with(*options):
    command = [sys.executable, "-m", "workers.embedded.sandbox", "--port", "0", *map(str, options)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=180, check=False)
