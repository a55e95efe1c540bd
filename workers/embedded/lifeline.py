"""Runs a program that must not outlive the supervisor: `python lifeline.py SUPERVISOR_PID PROGRAM ARGUMENT...`.

On Linux it asks the kernel to kill this process when its parent ends (PR_SET_PDEATHSIG, see prctl(2)) and then execs
the program; the request survives execve. A program of its own does that because Python code in the forked child of a
threaded parent (`preexec_fn`) is not safe. SIGKILL, because a SIGTERM can be ignored, and because everything here is
built to survive it.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1  # linux/prctl.h


def main() -> None:
    """Tie this process to its parent and become the program. Exits with 127 when that can't be run, like a shell."""
    parent, program = int(sys.argv[1]), sys.argv[2:]
    tie_to_parent(parent)
    try:
        os.execvp(program[0], program)  # noqa: S606 - there is no shell on purpose
    except OSError as error:
        print(f"{program[0]} can't be run: {error.strerror}", file=sys.stderr)
        sys.exit(127)


def tie_to_parent(parent: int) -> None:
    """Make this process end with its parent; it ends at once when that has ended already."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it ended before the request was made
        sys.exit(1)


if __name__ == "__main__":
    main()
