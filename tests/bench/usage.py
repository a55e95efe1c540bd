"""What processes use, as the kernel tells it: CPU time, memory, open files. Linux only."""

from __future__ import annotations

import os
from pathlib import Path

CLOCK_TICKS = os.sysconf("SC_CLK_TCK")


def family(pid: int) -> list[int]:
    """A process and its children: servers and prefork pools have them."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:  # it ended meanwhile
        return []
    return [pid, *(found for child in children for found in family(int(child)))]


def cpu_seconds(pid: int) -> float:
    """User and system time of a process, its children, and those it has waited for."""
    return sum(map(_cpu_of, family(pid)))


def thread_ms(pid: int) -> dict[int, float]:
    """Milliseconds of CPU of each living thread of a process, by its number: what the scheduler counts, to the
    microsecond."""
    found = {}
    for folder in Path(f"/proc/{pid}/task").iterdir():
        try:
            found[int(folder.name)] = int((folder / "schedstat").read_text().split()[0]) / 1e6
        except OSError:  # it ended meanwhile
            continue
    return found


def memory_mib(pid: int, field: str = "VmRSS") -> float:
    """Resident memory of one process; ``RssAnon``: without what it shares with others."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith(f"{field}:")), 0.0)


def open_files(pid: int) -> int:
    """File descriptors of one process."""
    try:
        return len(os.listdir(f"/proc/{pid}/fd"))  # noqa: PTH208 - nothing of the entries is of interest
    except OSError:
        return 0


def machine_seconds() -> tuple[float, float]:
    """What all processors have counted so far, and what of it the machine's host gave to others."""
    counted = [int(value) / CLOCK_TICKS for value in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    return sum(counted), counted[7]


def _cpu_of(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    # utime, stime, and of ended children cutime, cstime: a connection's server process is gone when it is asked for
    return sum(int(value) for value in fields[11:15]) / CLOCK_TICKS
