"""Servers that a test starts for itself on loopback: processes that end with it, and what tells that they are up."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from workers.embedded import lifeline

START_SECONDS = 180  #: a busy machine starts processes slowly


class Server:
    """A server process that ends with this one, and whoever it started with it."""

    def __init__(self, command: list[str], log: Path, environment: Mapping[str, str] | None = None) -> None:
        if sys.platform == "linux":
            command = [sys.executable, "-I", "-S", lifeline.__file__, str(os.getpid()), *command]
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                command, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
            )

    def runs(self) -> bool:
        """Whether it has not ended yet."""
        return self._process.poll() is None

    def send(self, what: signal.Signals) -> None:
        """A signal to it and all that it started."""
        os.killpg(self._process.pid, what)

    def end(self, how: signal.Signals = signal.SIGKILL) -> int:
        """Send a signal to it and all that it started, and wait for the end; the exit code."""
        if self.runs():
            self.send(how)
        return self._process.wait(30)


@contextlib.contextmanager
def closed_if_it_fails(stack: contextlib.ExitStack) -> Iterator[None]:
    """Nobody closes what was never made: servers of a broker that did not start would live on."""
    with contextlib.ExitStack() as failing:
        failing.push(stack)
        yield
        failing.pop_all()


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def wait_until(happened: Callable[[], Any], what: str, seconds: float = START_SECONDS) -> None:
    """Poll until it is true."""
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
        time.sleep(0.05)
