"""Keeps processes running on one machine: one log, restarts with back-off, a clean stop.

Each process has a session of its own, so that Ctrl-C at the terminal reaches only the supervisor, which then stops all
of them. On Linux none outlives a killed supervisor (see `lifeline`); elsewhere they have to be ended by hand.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import IO

import structlog

from workers.embedded import lifeline
from workers.embedded.errors import EmbeddedError
from workers.embedded.procfile import ProcessSpec, read_procfile

__all__ = ["ProcessSpec", "Supervisor", "read_procfile", "supervise"]

FIRST_DELAY_SECONDS = 0.5
LONGEST_DELAY_SECONDS = 30.0
HEALTHY_AFTER_SECONDS = 60.0
LOOK_SECONDS = 0.1
LINE_BYTES = 64 * 1024

logger = structlog.get_logger()


def supervise(
    processes: Sequence[ProcessSpec],
    *,
    log: Callable[[str], None] | None = None,
    stop_timeout_seconds: float = 35.0,
) -> int:
    """Runs `processes` until Ctrl-C, SIGTERM or SIGHUP; a second one kills at once. To be called from the main thread.

    Args:
        processes: what to run.
        log: takes each line of the merged log, without its line end; standard output when None.
        stop_timeout_seconds: how long processes have to end after SIGTERM before they are killed.

    Returns:
        The exit code: 0 after a clean stop, 1 when something had to be killed.

    Raises:
        EmbeddedError: a program does not exist; nothing was started then.
    """
    supervisor = Supervisor(processes, log=log, stop_timeout_seconds=stop_timeout_seconds)
    with _stop_signals(supervisor):
        return 0 if supervisor.run() else 1


class Supervisor:
    """What `supervise` does, for callers that handle signals themselves: `run` in a thread, `stop` from another."""

    def __init__(
        self,
        processes: Sequence[ProcessSpec],
        *,
        log: Callable[[str], None] | None = None,
        stop_timeout_seconds: float = 35.0,
    ) -> None:
        # Plain flags: a signal handler that sets a threading.Event may have interrupted its lock's holder: a deadlock.
        self._stop = False
        self._kill = False
        self._stop_timeout_seconds = stop_timeout_seconds
        output = _Output(log or _print, self.stop, max((len(spec.name) for spec in processes), default=0))
        self._children = [_Child(spec, output) for spec in processes]

    def stop(self, *, at_once: bool = False) -> None:
        """Asks `run` to end everything; `at_once` kills. Returns immediately; may be called from a signal handler."""
        self._kill = self._kill or at_once
        self._stop = True

    @property
    def stopping(self) -> bool:
        """Whether a stop was asked for."""
        return self._stop

    def run(self) -> bool:
        """Starts everything and keeps it running until `stop`; True when all ended by themselves after SIGTERM.

        The calling thread must stay alive meanwhile: on Linux the processes are tied to it.
        """
        for child in self._children:
            child.check_program()
        try:
            while not self._stop:
                for child in self._children:
                    child.keep_running()
                time.sleep(LOOK_SECONDS)
            return self._end_all()
        finally:
            for child in self._children:
                child.kill()

    def _end_all(self) -> bool:
        for child in self._children:
            child.terminate()
        deadline = time.monotonic() + self._stop_timeout_seconds
        while any(child.is_running() for child in self._children):
            time.sleep(LOOK_SECONDS)
            if self._kill or time.monotonic() > deadline:
                killed = [child.spec.name for child in self._children if child.is_running()]
                logger.warning("process.killed", processes=killed)
                return False
        return True


class _Child:
    """One process over its restarts."""

    def __init__(self, spec: ProcessSpec, output: _Output) -> None:
        self.spec = spec
        self._output = output
        self._process: subprocess.Popen[bytes] | None = None
        self._reader: threading.Thread | None = None
        self._started_at = 0.0
        self._start_at = 0.0
        self._delay_seconds = FIRST_DELAY_SECONDS

    def check_program(self) -> None:
        if shutil.which(self.spec.argv[0], path=self._environment()["PATH"]) is None:
            raise EmbeddedError(f"{self.spec.name}: there is no program {self.spec.argv[0]} on the PATH")

    def is_running(self) -> bool:
        """Whether the process runs. When it has ended, what is left of its process group is killed."""
        if self._process is None:
            return False
        if hasattr(os, "waitid"):
            # Look without reaping: as long as the process is a zombie, its group's number can't be somebody else's.
            ended = os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is not None
        else:  # macOS before Python 3.13
            ended = self._process.poll() is not None
        if not ended:
            return True
        self.kill()
        return False

    def keep_running(self) -> None:
        process = self._process
        if self.is_running():
            return
        now = time.monotonic()
        if process is not None:
            if now - self._started_at >= HEALTHY_AFTER_SECONDS:
                self._delay_seconds = FIRST_DELAY_SECONDS
            self._start_at = now + self._delay_seconds
            logger.warning(
                "process.ended", process=self.spec.name, code=process.returncode, again_in_seconds=self._delay_seconds
            )
            self._delay_seconds = min(2 * self._delay_seconds, LONGEST_DELAY_SECONDS)
        elif now >= self._start_at:
            self._start()

    def terminate(self) -> None:
        """SIGTERM to the process alone, which ends what it started itself."""
        if self.is_running() and self._process is not None:
            self._process.terminate()

    def kill(self) -> None:
        """SIGKILL to the process and everything in its group; waits for the end of its log."""
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):  # macOS: EPERM for a group of zombies
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if self._reader is not None:
            self._reader.join(timeout=1)

    def _start(self) -> None:
        argv = list(self.spec.argv)
        if sys.platform == "linux":
            argv = [sys.executable, "-I", "-S", lifeline.__file__, str(os.getpid()), *argv]
        self._process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=self._environment(),
            start_new_session=True,
        )
        self._started_at = time.monotonic()
        assert self._process.stdout is not None  # noqa: S101 - asked for above, said for mypy
        self._reader = threading.Thread(
            target=self._output.read, args=(self.spec.name, self._process.stdout), name=self.spec.name, daemon=True
        )
        self._reader.start()
        logger.info("process.started", process=self.spec.name, pid=self._process.pid)

    def _environment(self) -> dict[str, str]:
        """Our environment, this Python's programs first on the PATH, unbuffered output, and the process's additions."""
        programs = str(Path(sys.executable).parent)
        path = os.pathsep.join([programs, os.environ.get("PATH", os.defpath)])
        return os.environ | {"PATH": path, "PYTHONUNBUFFERED": "1"} | dict(self.spec.env)


class _Output:
    """The merged log: JSON lines unchanged, others behind their process's name."""

    def __init__(self, log: Callable[[str], None], stop: Callable[[], None], width: int) -> None:
        self._log = log
        self._stop = stop
        self._width = width
        self._lock = threading.Lock()

    def read(self, name: str, stream: IO[bytes]) -> None:
        """Passes the lines of a process on until it closes its output."""
        with stream:
            try:
                while line := stream.readline(LINE_BYTES):
                    text = line.decode(errors="replace").rstrip("\r\n")
                    with self._lock:
                        self._log(text if text.startswith("{") else f"{name:<{self._width}} | {text}")
            except OSError:  # the reader of our log is gone, as in `invoices up | head`
                self._stop()
                for _ in iter(lambda: stream.read(LINE_BYTES), b""):
                    pass  # a full pipe would block the process


def _print(line: str) -> None:
    print(line, flush=True)


@contextlib.contextmanager
def _stop_signals(supervisor: Supervisor) -> Iterator[None]:
    def on_signal(number: int, frame: FrameType | None) -> None:
        supervisor.stop(at_once=supervisor.stopping)

    numbers = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup asks for that
        numbers.append(signal.SIGHUP)  # the terminal was closed
    before = {number: signal.signal(number, on_signal) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
