"""`python -m tests.bench.rivals.sweep [NAME …]`: which settings suit each rival. `--show` prints what is kept.

One setting after the other: each of its values is tried beside the best of the settings before it. All that was tried
is kept in `deploy/bench/rivals.json`, and the rows use what was quickest there.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Iterator

from rich.console import Console
from rich.table import Table

from tests.bench.ground import Ground
from tests.bench.rival_rows import Rival, Side, running
from tests.bench.rivals.kept import Sweep, Tried, keep, kept
from tests.bench.sizes import chosen

ROUNDS = 2
#: Orders a go. In goes of 1,000 PgQueuer was quickest with other settings than in those that the rows measure.
COUNT = {"default": 6000, "full": 16_000, "tiny": 200}
#: Orders of a go: one in so many.
PARTS = {"dbos": 8}
PROCESSES = "processes"
#: What is tried for each, in this order; the first of each is what the app begins with.
TRIED: dict[str, dict[str, tuple[str, ...]]] = {
    "pgqueuer": {
        "RIVAL_BATCH": ("50", "25", "100", "200"),
        "RIVAL_CONCURRENCY": ("100", "200", "400"),
        "RIVAL_CONNECTIONS": ("10", "5", "20"),
        PROCESSES: ("2", "3"),
    },
    "arq": {
        "RIVAL_CONCURRENCY": ("100", "50", "200"),
        "RIVAL_POLL_SECONDS": ("0.05", "0.01", "0.2", "0.5"),
        "RIVAL_CONNECTIONS": ("10", "5", "20"),
        PROCESSES: ("2", "3"),
    },
    "procrastinate": {
        "RIVAL_CONCURRENCY": ("100", "50", "200"),
        "RIVAL_CONNECTIONS": ("10", "5", "20"),
        PROCESSES: ("2", "3"),
    },
    "dbos": {
        "RIVAL_POLL_SECONDS": ("0.1", "0.05", "0.5"),
        "RIVAL_CONCURRENCY": ("100", "50"),
        "RIVAL_CONNECTIONS": ("10", "20"),
        PROCESSES: ("2", "3"),
    },
}


def main() -> None:
    """Try them, keep and print what came of it."""
    names = [one for one in sys.argv[1:] if one != "--show"] or list(TRIED)
    if "--show" not in sys.argv[1:]:
        sizes = chosen()
        with Ground(sizes) as ground:
            for name in names:
                count = COUNT[sizes.name] // PARTS.get(name, 1)
                sweep = Sweep(count, list(_sweep(ground, name, count)))
                if sizes.name != "tiny":
                    keep(name, sweep)
                _print(name, sweep)
        return
    for name, sweep in kept().items():
        if name in names:
            _print(name, sweep)


def _sweep(ground: Ground, name: str, count: int) -> Iterator[Tried]:
    chosen_ones = {setting: values[0] for setting, values in TRIED[name].items()}
    best: Tried | None = None
    for setting, values in TRIED[name].items():
        for value in values if best is None else values[1:]:
            given = chosen_ones | {setting: value}
            tried = _try(ground, name, given, count)
            yield tried
            if best is None or tried.score > best.score:
                best, chosen_ones = tried, given


def _try(ground: Ground, name: str, given: dict[str, str], count: int) -> Tried:
    settings = {setting: value for setting, value in given.items() if setting != PROCESSES}
    rival = Rival(name, settings, int(given[PROCESSES]))
    with running(ground, rival) as theirs:
        side = Side(ground, theirs.rate, theirs.processes.cpu_seconds)
        side.go("create", max(50, count // 10))  # first calls, first connections
        cpu: list[float] = []
        rates = {
            kind: [round(side.go(kind, count, cpu), 1) for _ in range(ROUNDS)] for kind in ("create", "create_many")
        }
    return Tried(settings, rival.processes, rates, round(statistics.median(cpu), 2))


def _print(name: str, sweep: Sweep) -> None:
    title = f"{name}: {sweep.count:,} orders a go, commit {sweep.commit}, {sweep.measured_at}"
    table = Table(*("settings", PROCESSES, "create/s", "create_many/s", "CPU-ms, servers included"), title=title)
    for one in sweep.tried:
        named = ", ".join(f"{key.removeprefix('RIVAL_').lower()} {value}" for key, value in one.settings.items())
        spreads = [f"{min(values):.0f} - {max(values):.0f}" for values in one.rates.values()]
        style = "bold" if one is sweep.best else None
        table.add_row(named, str(one.processes), *spreads, f"{one.cpu_ms:.2f}", style=style)
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
