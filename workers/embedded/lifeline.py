"""Runs a program that must not outlive the supervisor: `python lifeline.py SUPERVISOR_PID PROGRAM ARGUMENT...`.

On Linux the kernel is asked to kill this process when its parent ends (prctl's PR_SET_PDEATHSIG, see prctl(2)), then
the program takes this process over; the request survives execve. Doing it here, between fork and exec but in a
process of its own, avoids Python code in the forked child of a threaded parent (`preexec_fn`). SIGKILL, because a
SIGTERM can be ignored, and because everything here is built to survive it.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1  # linux/prctl.h


def main() -> None:
    """Ties this process to its parent and becomes the program; exits 127 when that can't be run, like a shell."""
    parent, program = int(sys.argv[1]), sys.argv[2:]
    tie_to_parent(parent)
    try:
        os.execvp(program[0], program)  # noqa: S606 - there is no shell on purpose
    except OSError as error:
        print(f"{program[0]} can't be run: {error.strerror}", file=sys.stderr)
        sys.exit(127)


def tie_to_parent(parent: int) -> None:
    """From now on this process ends with its parent; at once when that has ended already."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it ended before the request was made
        sys.exit(1)


if __name__ == "__main__":
    main()
