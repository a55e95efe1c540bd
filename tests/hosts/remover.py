"""Removes the namespaces of a run whose process has ended in whatever way: it waits for its standard input to close.

What still runs in them is killed first; they were made for this run, so it is the run's own.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time

KILL_SECONDS = 10.0


def remove(prefix: str) -> None:
    """Every namespace whose name begins so, with all that runs in it."""
    names = [line.split()[0] for line in _ip("netns", "list") if line.startswith(prefix)]
    for name in names:
        _end_all(name)
    for name in names:
        _ip("netns", "delete", name)


def _end_all(name: str) -> None:
    end = time.monotonic() + KILL_SECONDS
    while (pids := _ip("netns", "pids", name)) and time.monotonic() < end:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
        time.sleep(0.1)


def _ip(*arguments: str) -> list[str]:
    return subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False).stdout.split("\n")[:-1]


if __name__ == "__main__":
    sys.stdin.read()
    remove(sys.argv[1])
