"""Only one `invoices up` per home; its Valkey ends with it, however it ends.

Two locks in the home make that safe. The `up` process holds `up.lock`: a second one is refused. The keeper (see
`keeper`), which stops the Valkey once the `up` process is gone, killed or not, holds `up.keeper.lock`: the next `up`
waits for that, so that its own server is not the one that is stopped.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from workers.embedded.errors import EmbeddedError
from workers.embedded.home import make_home
from workers.embedded.valkey import ensure_valkey, stop_valkey

LOCK = "up.lock"
KEEPER_LOCK = "up.keeper.lock"
#: What a keeper may take to stop its Valkey, which is killed after 10 s.
KEEPER_SECONDS = 30.0
POLL_SECONDS = 0.05


@contextlib.contextmanager
def sole_up(home: Path) -> Iterator[None]:
    """Raises EmbeddedError, naming the other process, when an `up` already runs in this home."""
    make_home(home)
    with open(home / LOCK, "a+b") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            who = lock.read(200).decode("ascii", "replace").strip() or "a process that is just starting"
            raise EmbeddedError(
                f"`invoices up` runs in {home} already: {who}. Stop that one (Ctrl-C), or give this one another "
                "INVOICES_HOME"
            ) from None
        lock.truncate(0)
        lock.write(f"process {os.getpid()}, since {datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC".encode())
        lock.flush()
        yield


@contextlib.contextmanager
def kept_valkey(home: Path) -> Iterator[None]:
    """The home's Valkey runs inside the block. It is stopped at the end by us, or by the keeper when we are killed."""
    keeper = _start_keeper(home)
    try:
        ensure_valkey(home)
        yield
    finally:
        stop_valkey(home)
        if keeper.stdin is not None:
            keeper.stdin.close()
        keeper.wait()


def _start_keeper(home: Path) -> subprocess.Popen[bytes]:
    descriptor = os.open(home / KEEPER_LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        _wait_for_lock(descriptor, home)
        return subprocess.Popen(
            # -P: the working folder may have modules of our names.
            [sys.executable, "-P", "-m", "workers.embedded.keeper", str(home)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=(descriptor,),  # the keeper holds the lock for as long as it lives
            start_new_session=True,  # neither Ctrl-C nor a closed terminal ends it
        )
    finally:
        os.close(descriptor)


def _wait_for_lock(descriptor: int, home: Path) -> None:
    deadline = time.monotonic() + KEEPER_SECONDS
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise EmbeddedError(f"the Valkey of an `invoices up` that ended in {home} does not stop") from None
            time.sleep(POLL_SECONDS)
        else:
            return
