"""A PostgreSQL that may be killed: its postmaster by SIGKILL, then started again on what it had written."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy.engine import make_url

from tests.chaos.clock import SettableClock
from tests.engines import AS_SOMEBODY, run_postgres

#: A commit that was answered must outlive the server's end; against a power cut (fsync) nothing is tested here.
DURABLE = {"synchronous_commit": "on", "full_page_writes": "on"}
START_SECONDS = 300.0
ENVIRONMENT = "environment.json"  #: of the server, beside ours


@contextlib.contextmanager
def run_mortal_postgres(clock: SettableClock | None = None) -> Iterator[tuple[str, Path]]:
    """The server's URL and its folder. It goes by ``clock``, also after it was killed."""
    environment = dict(clock.environment) if clock else {}
    with run_postgres(DURABLE, environment) as url:
        folder = Path(str(make_url(url).query["host"]))
        (folder / ENVIRONMENT).write_text(json.dumps(environment))
        yield url, folder


def kill_and_restart(folder: Path, down_seconds: float) -> None:
    """SIGKILL the postmaster, wait, start it again with the options it had. Raises RuntimeError when it stays down."""
    kill(folder)
    time.sleep(down_seconds)
    start(folder)


def back_up(folder: Path) -> None:
    """Keep the data as they are at this moment: a copy of what a killed server left, which is then started again."""
    kill(folder)
    _copy(folder / "data", folder / "backup")
    start(folder)


def restore(folder: Path) -> None:
    """Put the kept data in the place of today's, and start on them."""
    kill(folder)
    shutil.rmtree(folder / "data")
    _copy(folder / "backup", folder / "data")
    start(folder)


def kill(folder: Path) -> None:
    """SIGKILL the postmaster, and wait until its children have noticed it. Raises RuntimeError when they stay."""
    pid = int((folder / "data" / "postmaster.pid").read_text().splitlines()[0])
    children = _children(pid)
    os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + START_SECONDS
    while any(_is_running(child) for child in children):
        if time.monotonic() > deadline:
            raise RuntimeError(f"PostgreSQL's processes did not end within {START_SECONDS:g} s: see {folder / 'log'}")
        time.sleep(0.05)


def start(folder: Path) -> None:
    """Start it with the options it had. Raises RuntimeError when it stays down."""
    data = folder / "data"
    program = Path(shlex.split((data / "postmaster.opts").read_text())[0])
    pg_ctl = str(program.with_name("pg_ctl"))
    command = [pg_ctl, "-D", str(data), "-l", str(folder / "log"), "-w", "-t", "120", "restart"]
    deadline = time.monotonic() + START_SECONDS
    # Until the last backend has noticed its postmaster's end, the shared memory is still in use.
    while subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd="/",
        check=False,
        env=os.environ | _environment(folder),
        **AS_SOMEBODY,
    ).returncode:
        if time.monotonic() > deadline:
            raise RuntimeError(f"PostgreSQL did not start again within {START_SECONDS:g} s: see {folder / 'log'}")
        time.sleep(0.2)


def _environment(folder: Path) -> dict[str, str]:
    kept = folder / ENVIRONMENT
    found: dict[str, str] = json.loads(kept.read_text()) if kept.exists() else {}
    return found


def _children(pid: int) -> list[int]:
    """A process's children, where the host tells (Linux)."""
    children = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(child) for child in children.read_text().split()] if children.exists() else []


def _is_running(pid: int) -> bool:
    """Whether there is such a process that has not ended yet; one that nobody has reaped has."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def _copy(source: Path, target: Path) -> None:
    """A folder with its owners and modes, in the place of what was there."""
    shutil.rmtree(target, ignore_errors=True)
    subprocess.run(["cp", "-a", str(source), str(target)], stdin=subprocess.DEVNULL, check=True, timeout=120)
