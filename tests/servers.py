"""Servers that a test starts for itself on loopback: processes that end with it, and what tells that they are up."""

from __future__ import annotations

import contextlib
import functools
import os
import secrets
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
FIRST_PORT = 20_000  #: below are those that a machine's own servers have


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
        return self._process.wait(START_SECONDS)


@contextlib.contextmanager
def closed_if_it_fails(stack: contextlib.ExitStack) -> Iterator[None]:
    """Nobody closes what was never made: servers of a broker that did not start would live on."""
    with contextlib.ExitStack() as failing:
        failing.push(stack)
        yield
        failing.pop_all()


def free_port() -> int:
    """A port that nobody listens on. Not one of those that the system hands out by itself: until the server that it is
    meant for listens, and while that is started again, nobody gets it by chance."""
    lowest, highest = FIRST_PORT, _first_of_the_system()
    while True:
        port = secrets.choice(range(lowest, highest)) if lowest < highest else 0
        with socket.socket() as one, contextlib.suppress(OSError):
            one.bind(("127.0.0.1", port))
            return int(one.getsockname()[1])


@functools.cache
def _first_of_the_system() -> int:
    """The first of the ports that it gives to whoever asks for none in particular; 0: not known."""
    try:
        return int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    except OSError:
        return 0


def wait_until(happened: Callable[[], Any], what: str, seconds: float = START_SECONDS) -> None:
    """Poll until it is true."""
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
        time.sleep(0.05)
