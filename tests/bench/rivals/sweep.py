"""`python -m tests.bench.rivals.sweep [NAME …]`: which settings suit each rival; the same work for each, in turns.

The figures stand in README.md beside this file, the best settings in `rival_rows.RIVALS`.
"""

from __future__ import annotations

import statistics
import sys

from rich.console import Console
from rich.table import Table

from tests.bench.ground import Ground
from tests.bench.rival_rows import Rival, Side, running
from tests.bench.sizes import chosen

ROUNDS = 2
COUNT = {"default": 1500, "full": 3000, "tiny": 200}
TRIED = {
    "pgqueuer": ("RIVAL_BATCH", ("10", "25", "50", "100"), {"RIVAL_CONCURRENCY": "200"}),
    "arq": ("RIVAL_POLL_SECONDS", ("0.01", "0.05", "0.2", "0.5"), {}),
    "procrastinate": ("RIVAL_CONCURRENCY", ("25", "50", "100", "200"), {}),
    "dbos": ("RIVAL_POLL_SECONDS", ("0.05", "0.1", "0.5", "1"), {}),
}
#: For each of them too, at the middle of what is above.
POOLS = ("5", "20", "40")


def candidates(name: str) -> list[Rival]:
    """What is tried for one rival."""
    setting, values, more = TRIED[name]
    part = 6 if name == "dbos" else 1
    found = [Rival(name, {setting: value, **more}, part=part) for value in values]
    found += [Rival(name, {setting: values[1], **more, "RIVAL_CONNECTIONS": pool}, part=part) for pool in POOLS]
    return [*found, Rival(name, {setting: values[1], **more}, processes=3, part=part)]


def main() -> None:
    """Try them all, print a line each."""
    sizes = chosen()
    with Ground(sizes) as ground:
        for name in sys.argv[1:] or TRIED:
            table = Table(f"{name}", "processes", "create/s", "create_many/s", "CPU-ms each, servers included")
            for rival in candidates(name):
                table.add_row(*_tried(ground, rival, COUNT[sizes.name] // rival.part))
            Console(width=120).print(table)


def _tried(ground: Ground, rival: Rival, count: int) -> tuple[str, ...]:
    with running(ground, rival) as theirs:
        side = Side(ground, theirs.rate, theirs.processes.cpu_seconds)
        side.go("create", max(50, count // 10))
        cpu: list[float] = []
        rates = {kind: [side.go(kind, count, cpu) for _ in range(ROUNDS)] for kind in ("create", "create_many")}
    named = ", ".join(f"{key.removeprefix('RIVAL_').lower()} {value}" for key, value in rival.settings.items())
    spreads = [f"{min(values):.0f} - {max(values):.0f}" for values in rates.values()]
    return named, str(rival.processes), *spreads, f"{statistics.median(cpu):.2f}"


if __name__ == "__main__":
    main()
