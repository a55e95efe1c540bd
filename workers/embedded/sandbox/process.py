"""Runs the sandbox as a process of its own, for our tests and for users' integration tests."""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import sys
import time
from collections.abc import Sequence
from types import TracebackType
from typing import IO

#: How long the sandbox may take to listen, and to stop after SIGTERM.
START_SECONDS, STOP_SECONDS = 180.0, 5.0  #: on an overloaded machine the imports alone take a minute


class SandboxProcess:
    """`with SandboxProcess("--lifetime-seconds", "5") as sandbox: … sandbox.nebulox_url …`

    Takes the options of `python -m workers.embedded.sandbox`; the port is free unless given. `log` is where its
    standard error goes (default: this process's). The sandbox also ends when this process dies.
    """

    def __init__(self, *options: str, log: IO[str] | int | None = None) -> None:
        self._options: Sequence[str] = options
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None
        self._url = ""

    def start(self) -> SandboxProcess:
        """Start it and wait until it listens. Raises RuntimeError when it ends or stays silent for START_SECONDS."""
        # -P: the working folder may have modules of our names.
        command = [sys.executable, "-P", "-m", "workers.embedded.sandbox", "--port", "0", "--exit-with-stdin"]
        self._process = subprocess.Popen(
            [*command, *self._options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
        )
        try:
            self._url = _read_address(self._process.stdout)
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> int | None:
        """End it: SIGTERM, and SIGKILL after STOP_SECONDS. The exit code; None when it was never started."""
        process, self._process = self._process, None
        if process is None:
            return None
        process.terminate()
        try:
            return process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()
        finally:
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    pipe.close()

    @property
    def pid(self) -> int:
        """Raises RuntimeError when it does not run."""
        if self._process is None:
            raise RuntimeError("the sandbox does not run: call start() first")
        return self._process.pid

    @property
    def url(self) -> str:
        return self._url

    def provider_url(self, name: str) -> str:
        """The `base_url` of an account at the provider of that name."""
        return f"{self._url}/{name}"

    @property
    def nebulox_url(self) -> str:
        """`provider_url("nebulox")`."""
        return self.provider_url("nebulox")

    @property
    def zeroxhost_url(self) -> str:
        """`provider_url("zeroxhost")`."""
        return self.provider_url("zeroxhost")

    @property
    def control_url(self) -> str:
        return f"{self._url}/control"

    def receiver_url(self, name: str) -> str:
        """Where to send webhooks for the receiver of that name."""
        return f"{self._url}/receiver/{name}"

    def __enter__(self) -> SandboxProcess:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def _read_address(stdout: IO[bytes] | None) -> str:
    """The address in the one line that the sandbox prints. Raises RuntimeError."""
    if stdout is None:
        raise RuntimeError("the sandbox has no standard output to read")
    line, deadline = b"", time.monotonic() + START_SECONDS
    with selectors.DefaultSelector() as selector:
        selector.register(stdout, selectors.EVENT_READ)
        while not line.endswith(b"\n"):
            if not selector.select(max(deadline - time.monotonic(), 0)):
                raise RuntimeError(f"the sandbox did not listen within {START_SECONDS:g} seconds")
            # Not from the buffered stream, whose read would wait for the end.
            part = os.read(stdout.fileno(), 4096)
            if not part:
                raise RuntimeError("the sandbox ended before it listened; its standard error says why")
            line += part
    return str(json.loads(line)["listening"])
