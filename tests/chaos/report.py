"""What a campaign came to, as a table and as JSON."""

from __future__ import annotations

import json
import platform
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.chaos.campaign import Result
from workers.fault_points import POINTS


def summarise(results: Sequence[Result]) -> dict[str, Any]:
    """All runs as JSON values."""
    points: Counter[str] = sum((result.deaths.points for result in results), Counter())
    random: Counter[str] = sum((result.deaths.random for result in results), Counter())
    exits: Counter[str] = sum((result.deaths.exits for result in results), Counter())
    faults: Counter[str] = sum((result.faults for result in results), Counter())
    sums: Counter[str] = Counter()
    for result in results:
        sums.update({name: value for name, value in result.figures.items() if isinstance(value, int)})
    return {
        "python": platform.python_version(),
        "seeds": [result.seed for result in results],
        "kills": sum(result.deaths.kills() for result in results),
        "kills_at_random_instants": dict(sorted(random.items())),
        "kills_at_points": {point: points[point] for point in POINTS},
        "ends_nobody_asked_for": dict(sorted(exits.items())),
        "faults": dict(sorted(faults.items())),
        "totals": dict(sums),
        "breaches": sum(len(result.findings) for result in results),
        "runs": [
            {
                "seed": result.seed,
                "kills": result.deaths.kills(),
                **result.figures,
                "breaches": [asdict(finding) for finding in result.findings],
            }
            for result in results
        ],
    }


def write(results: Sequence[Result], path: Path) -> None:
    """Keep the summary."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(summarise(results), indent=1) + "\n")


def show(results: Sequence[Result], console: Console) -> None:
    """A line a run, and every breach in full."""
    columns = ("seed", "kills", "orders", "doubts", "events", "in emptied broker", "in killed broker", "drain s")
    table = Table(*columns, "breaches", title="crash campaign")
    for result in results:
        figures = result.figures
        names = ("orders", "doubts", "events", "lost_in_emptied_broker", "lost_in_killed_broker", "drain_seconds")
        cells = [result.seed, result.deaths.kills(), *(figures[name] for name in names), len(result.findings)]
        table.add_row(*map(str, cells))
    console.print(table)
    for result in results:
        for finding in result.findings:
            console.print(
                f"[red]seed {result.seed}[/red] {finding.promise}: {finding.what}", markup=True, soft_wrap=True
            )
