"""A service manager for tests: the socket that NOTIFY_SOCKET names, and a process that can be made to hang."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from tests.servers import wait_until

#: For a process that starts on a busy machine, in seconds.
PATIENCE = 240.0
#: Asks a process with ``plant_hangs`` to hang: the loop of its main thread, or that of its pump.
HANG_MAIN, HANG_PUMP = signal.SIGRTMIN + 1, signal.SIGRTMIN + 2
#: Runs in every process started with it. A hang ends when the file is there.
PLANT = """
import pathlib, signal, sys, time

def hang(*_):
    from workers.telemetry import liveness
    usual, liveness.SILENT_SECONDS = liveness.SILENT_SECONDS, 1.0
    while not pathlib.Path({release!r}).exists():
        time.sleep(0.05)
    liveness.SILENT_SECONDS = usual

def hang_pump(*_):
    from workers import bootstrap
    bootstrap.running().pump._call(hang)

signal.signal({main}, hang)
signal.signal({pump}, hang_pump)
"""


class Manager:
    """Collects what it is told."""

    def __init__(self, folder: Path) -> None:
        self.release = folder / "release"  #: ends the hanging of a process
        self.address = str(folder / "notify")
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(self.address)
        self._told: list[tuple[float, str]] = []
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        while datagram := self._socket.recv(65536).decode():
            self._told += [(time.monotonic(), line) for line in datagram.split("\n")]

    def told(self, line: str) -> list[float]:
        """When this line, or one that begins so, came."""
        return [when for when, told in list(self._told) if told.startswith(line)]

    def await_line(self, line: str, times: int = 1) -> None:
        """Until it has come so often."""
        wait_until(lambda: len(self.told(line)) >= times, f"{line}, {times} times", PATIENCE)

    def mark(self) -> float:
        """When all that was told until now has come."""
        line = f"MARK={len(self.told('MARK='))}"
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
            told.sendto(line.encode(), self.address)
        self.await_line(line)
        return self.told(line)[-1]

    def close(self) -> None:
        """Listen no more."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as last:
            last.sendto(b"", self.address)
        self._socket.close()


@contextlib.contextmanager
def managed() -> Iterator[Manager]:
    """A manager with a short address."""
    with tempfile.TemporaryDirectory(prefix="notify-") as folder, contextlib.closing(Manager(Path(folder))) as manager:
        yield manager


def plant_hangs(folder: Path, release: Path) -> dict[str, str]:
    """What the environment of a process that may be made to hang needs."""
    plant = PLANT.format(release=str(release), main=int(HANG_MAIN), pump=int(HANG_PUMP))
    (folder / "sitecustomize.py").write_text(plant)
    return {"PYTHONPATH": os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])}
