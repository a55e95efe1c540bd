"""SQLite on a disk that is full, with kills in the middle: what can't be written waits, and goes on by itself."""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.system import System, running, zeroxhost_order

pytestmark = [pytest.mark.engines, pytest.mark.timeout(900)]

DISK_MEGABYTES = 12


@pytest.fixture
def small_disk(tmp_path) -> Iterator[Path]:
    """A file system of a few megabytes."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MEGABYTES}m", "invoices-test", str(folder)]
    if os.geteuid() != 0 or not shutil.which("mount"):
        pytest.skip("a small disk of its own needs root and mount")
    done = subprocess.run(mount, capture_output=True, check=False)
    if done.returncode:
        pytest.skip(f"a small disk can't be mounted here: {done.stderr.decode().strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=False)


def fill(folder: Path) -> Path:
    """Take the last byte of a disk; the file that holds it."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(bytes(4096)):
            pass
    return ballast


def has_noticed(system: System, name: str) -> bool:
    """Whether a process has met the full disk."""
    return "store.unavailable" in system.log(name)


def test_on_a_full_disk_orders_wait_in_the_broker_and_go_on_when_there_is_room(tmp_path, small_disk):
    accounts = {"zeroxhost": {"timeout_seconds": 30}}  # longer than the delay: the doubts are to be the kill's
    system = System(tmp_path / "home", database_url=f"sqlite+pysqlite:///{small_disk}/invoices.db", accounts=accounts)
    (tmp_path / "home").mkdir()
    with running(system, "intake", "worker", "beat") as system:
        system.control("faults", {"provider": "zeroxhost", "fault": "delay", "argument": 8, "match": "before-"})
        system.order(*(zeroxhost_order(f"before-{n}", "~pay:2~") for n in range(20)))
        system.wait_for_calls("before-", 20)
        ballast = fill(small_disk)
        system.order(*(zeroxhost_order(f"during-{n}", "~pay:1~") for n in range(200)))
        for name in ("intake", "worker"):
            system.wait_until(functools.partial(has_noticed, system, name), f"{name} has noticed")
        seen = system.statuses("during-").total()
        assert seen < 200  # a page of the log of changes may have been free for some
        for name in ("intake", "worker"):
            system.kill(name)
            system.launch(name)
        system.holds(lambda: system.statuses("during-").total() < 200, "what can't be written is not lost", 5)
        ballast.unlink()

        system.wait_until(lambda: system.statuses("during-")["paid"] == 200, "all are paid", 300)
        system.wait_until(lambda: system.statuses("before-")["paid"] == 20, "the doubtful ones are paid", 300)
        creates = system.creates()
        for order_id, row in system.invoices().items():
            assert creates[order_id] <= 1 + row["doubts"], order_id
        system.wait_until_told()
        system.check_history()
        system.check_told()
        assert system.rows("SELECT reason FROM rejected_message") == []
        assert system.rows("PRAGMA integrity_check") == [{"integrity_check": "ok"}]
        assert [line for line in system.errors() if "Cannot connect" not in line] == []
