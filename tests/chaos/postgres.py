"""A PostgreSQL that may be killed: its postmaster by SIGKILL, then started again on what it had written."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy.engine import make_url

from tests.engines import AS_SOMEBODY, run_postgres

#: A commit that was answered must outlive the server's end; against a power cut (fsync) nothing is tested here.
DURABLE = {"synchronous_commit": "on", "full_page_writes": "on"}
START_SECONDS = 60.0


@contextlib.contextmanager
def run_mortal_postgres() -> Iterator[tuple[str, Path]]:
    """The server's URL and its folder."""
    with run_postgres(DURABLE) as url:
        yield url, Path(str(make_url(url).query["host"]))


def kill_and_restart(folder: Path, down_seconds: float) -> None:
    """SIGKILL the postmaster, wait, start it again with the options it had. Raises RuntimeError when it stays down."""
    data = folder / "data"
    pid = int((data / "postmaster.pid").read_text().splitlines()[0])
    program = Path(shlex.split((data / "postmaster.opts").read_text())[0])
    os.kill(pid, signal.SIGKILL)
    time.sleep(down_seconds)
    command = [
        str(program.with_name("pg_ctl")),
        "-D",
        str(data),
        "-l",
        str(folder / "log"),
        "-w",
        "-t",
        "30",
        "restart",
    ]
    deadline = time.monotonic() + START_SECONDS
    # Until the last backend has noticed its postmaster's end, the shared memory is still in use.
    while subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd="/",
        check=False,
        **AS_SOMEBODY,
    ).returncode:
        if time.monotonic() > deadline:
            raise RuntimeError(f"PostgreSQL did not start again within {START_SECONDS:g} s: see {folder / 'log'}")
        time.sleep(0.2)
