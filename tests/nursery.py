"""Starts processes by fork from one that has imported everything: a start costs 0.3 s of CPU then instead of 1 to 2.

What runs in the fork is `celery …` or `invoices …` as the Procfile names it, with settings of its own; nothing of ours
has run before but imports. `python -m tests.nursery` reads requests, a JSON line each, and answers each by a line; with
its standard input it ends, and its children with it.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import gc
import importlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from workers.embedded.lifeline import tie_to_parent

ROOT = Path(__file__).resolve().parents[1]

#: What can be run.
PROGRAMS = frozenset({"celery", "invoices"})

#: Everything that a process of ours imports and that does not read the settings.
MODULES = (
    "celery.__main__",
    "celery.apps.beat",
    "celery.apps.worker",
    "celery.bin.celery",
    "celery.concurrency.thread",
    "celery.worker.components",
    "celery.worker.consumer",
    "celery.worker.strategy",
    "kombu.transport.redis",
    "config.celeryconfig",
    "workers.queue.consumer",
    "workers.transport",
    "workers.bootstrap",
    "workers.cli.main",
    "workers.web.process",
)


class Nursery:
    """`with Nursery() as nursery: process = nursery.start(["celery", …], environment, log)`"""

    def __init__(self, prefix: Sequence[str] = ()) -> None:
        """``prefix``: a command that runs the rest of its line, as `ip netns exec NAME` does."""
        self._prefix = prefix
        self._asking = threading.Lock()

    def __enter__(self) -> Nursery:
        command = [*self._prefix, sys.executable, "-m", "tests.nursery"]
        environment = os.environ | {"PYTHONUNBUFFERED": "1"}
        self._process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        return self

    def __exit__(self, *_: object) -> None:
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()
        self._process.wait()

    def start(
        self, argv: Sequence[str], environment: Mapping[str, str], log: Path, errors: Path | None = None
    ) -> Forked:
        """A process that runs ``argv``, of one of PROGRAMS; its standard error goes to ``errors``, else to ``log``."""
        asked = {"do": "start", "argv": list(argv), "environment": dict(environment), "log": str(log)}
        asked["errors"] = str(errors or log)
        log.open("ab").close()  # so that it can be read at once
        return Forked(self, self.ask(asked)["pid"])

    def run(
        self, argv: Sequence[str], environment: Mapping[str, str], seconds: float
    ) -> subprocess.CompletedProcess[bytes]:
        """Run it to its end, as `subprocess.run` does. Raises subprocess.TimeoutExpired."""
        with tempfile.TemporaryDirectory() as folder:
            output, errors = Path(folder, "output"), Path(folder, "errors")
            code = self.start(argv, environment, output, errors).wait(seconds)
            return subprocess.CompletedProcess(argv, code, output.read_bytes(), errors.read_bytes())

    def ask(self, request: Mapping[str, Any]) -> Any:
        """One request and its answer. Raises RuntimeError when the nursery has ended."""
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        with self._asking:
            stdin.write(json.dumps(request).encode() + b"\n")
            stdin.flush()
            line = stdout.readline()
        if not line:
            raise RuntimeError("the nursery has ended")
        return json.loads(line)


class Forked:
    """A child of the nursery, to be used as a `subprocess.Popen`: only the nursery may signal and reap it by its id."""

    def __init__(self, nursery: Nursery, pid: int) -> None:
        self._nursery = nursery
        self.pid = pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """The exit code, negative for a signal; None while it runs."""
        if self.returncode is None:
            self.returncode = self._nursery.ask({"do": "poll", "pid": self.pid})["code"]
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Until it has ended. Raises subprocess.TimeoutExpired."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while (code := self.poll()) is None:
            if deadline is not None and time.monotonic() > deadline:
                raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or 0.0)
            time.sleep(0.005)
        return code

    def send_signal(self, how: int) -> None:
        """Nothing happens to one that has ended."""
        if self.poll() is None:
            self._nursery.ask({"do": "signal", "pid": self.pid, "number": int(how)})

    def kill(self) -> None:
        """SIGKILL."""
        self.send_signal(signal.SIGKILL)


@functools.cache
def shared() -> Nursery:
    """One for all tests of this process; it ends with it."""
    nursery = Nursery()
    atexit.register(nursery.__enter__().__exit__)
    return nursery


# ---------------------------------------------------------------- inside the nursery


def main() -> None:
    """Answer requests until standard input ends."""
    for module in MODULES:
        importlib.import_module(module)
    assert threading.active_count() == 1, "a fork would lose a thread"
    assert "workers.app" not in sys.modules, "the settings would be the nursery's"
    gc.freeze()
    answers = os.dup(1)
    requests = os.fdopen(os.dup(0), "rb", buffering=0)
    for line in iter(requests.readline, b""):
        os.write(answers, json.dumps(_answer(json.loads(line), (answers, requests.fileno()))).encode() + b"\n")


def _answer(request: Mapping[str, Any], private: Sequence[int]) -> dict[str, Any]:
    if request["do"] == "start":
        return {"pid": _fork(request, private)}
    if request["do"] == "poll":
        pid, status = os.waitpid(request["pid"], os.WNOHANG)
        return {"code": os.waitstatus_to_exitcode(status) if pid else None}
    # Still a child of ours, if only its remains: the id is nobody else's.
    os.kill(request["pid"], request["number"])
    return {}


def _fork(request: Mapping[str, Any], private: Sequence[int]) -> int:
    parent = os.getpid()
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        tie_to_parent(parent)
        for descriptor in private:
            os.close(descriptor)
        code = _run(request["argv"], request["environment"], request["log"], request["errors"])
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
        if isinstance(end.code, str):
            sys.stderr.write(end.code + "\n")
    except BaseException:  # whatever it was must end this process here
        traceback.print_exc()
    finally:
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def _run(argv: list[str], environment: Mapping[str, str], log: str, errors: str) -> int:
    """Be the program that was asked for; its exit code."""
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for name, descriptor in ((log, 1), (errors, 2)):
        os.dup2(os.open(name, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644), descriptor)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = argv
    if argv[0] == "invoices":
        from workers.cli.main import run

        return run(argv[1:])
    from celery.__main__ import main as celery

    celery()
    return 0


if __name__ == "__main__":
    main()
