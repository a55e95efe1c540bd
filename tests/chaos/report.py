"""What a campaign came to: JSON, a table on the console, and the tables of deploy/chaos/README.md."""

from __future__ import annotations

import json
import platform
import subprocess
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.acceptance.system import ROOT
from tests.chaos.campaign import Result
from workers.queue.fault_points import POINTS

#: Columns of the table of runs: heading, name in the figures.
COLUMNS = {
    "seed": "seed",
    "kills": "kills",
    "a minute": "kills_per_minute",
    "orders": "orders",
    "cancellations": "cancellations",
    "doubts": "doubts",
    "parked": "parked",
    "events": "events",
    "webhook repeats": "webhook_repeats",
    "in the emptied broker": "lost_in_emptied_broker",
    "in a killed broker": "lost_in_killed_broker",
    "at rest after (s)": "drain_seconds",
    "breaches": "breaches",
}


def commit() -> str:
    """The commit that runs, with a word when files differ from it."""
    try:
        head = _git("rev-parse", "--short=12", "HEAD")
        return f"{head} and changes" if _git("status", "--porcelain", "--untracked-files=no") else head
    except (OSError, subprocess.CalledProcessError):
        return "unknown: no git"


def summarise(results: Sequence[Result], command: str) -> dict[str, Any]:
    """All runs as JSON values."""
    points = _sum(result.deaths.points for result in results)
    sums: Counter[str] = Counter()
    for result in results:
        sums.update({name: value for name, value in result.figures.items() if isinstance(value, int)})
    kills = sum(result.deaths.kills() for result in results)
    seconds = sum(result.seconds for result in results)
    return {
        "command": command,
        "python": platform.python_version(),
        "commits": sorted({result.commit for result in results}),
        "seeds": [result.seed for result in results],
        "kills": kills,
        "minutes": round(seconds / 60, 1),
        "kills_per_minute": _rate(kills, seconds),
        "breaches": sum(len(result.findings) for result in results),
        "kills_at_random_instants": dict(sorted(_sum(result.deaths.random for result in results).items())),
        "kills_at_points": {point: points[point] for point in POINTS},
        "points_never_met": [point for point in POINTS if not points[point]],
        "ends_nobody_asked_for": dict(sorted(_sum(result.deaths.exits for result in results).items())),
        "faults": dict(sorted(_sum(result.faults for result in results).items())),
        "totals": dict(sums),
        "runs": [_run(result) for result in results],
    }


def _run(result: Result) -> dict[str, Any]:
    return {
        "seed": result.seed,
        "commit": result.commit,
        "seconds": round(result.seconds),
        "kills": result.deaths.kills(),
        "kills_per_minute": _rate(result.deaths.kills(), result.seconds),
        "kills_at_points": dict(sorted(result.deaths.points.items())),
        **result.figures,
        "breaches": [asdict(finding) for finding in result.findings],
    }


def write(results: Sequence[Result], path: Path, command: str) -> None:
    """Keep the summary; a run that is cut off leaves the one before it whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".part")
    draft.write_text(json.dumps(summarise(results, command), indent=1) + "\n")
    draft.replace(path)


def show(results: Sequence[Result], console: Console) -> None:
    """A line a run, and every breach in full."""
    table = Table(*COLUMNS, title="crash campaign")
    for result in results:
        table.add_row(*_cells(_run(result)))
    console.print(table)
    for result in results:
        for finding in result.findings:
            console.print(f"seed {result.seed} {finding.promise}: {finding.what}", markup=False, soft_wrap=True)


def markdown(kept: Mapping[str, Any]) -> str:
    """Kept results as the tables of deploy/chaos/README.md."""
    total = {
        **kept["totals"],
        "seed": "all",
        "kills": kept["kills"],
        "kills_per_minute": kept["kills_per_minute"],
        "drain_seconds": "",
        "breaches": [None] * kept["breaches"],
    }
    rows = [list(COLUMNS), ["---"] * len(COLUMNS), *(_cells(run) for run in [*kept["runs"], total])]
    points = [["point", "kills"], ["---", "---"], *([f"`{p}`", str(n)] for p, n in kept["kills_at_points"].items())]
    faults = [["fault", "times"], ["---", "---"], *([name, str(n)] for name, n in kept["faults"].items())]
    lines = ["| " + " | ".join(row) + " |" for table in (rows, [], points, [], faults) for row in table or [[]]]
    about = (
        f"`{kept['command']}`, commit {', '.join(kept['commits'])}, Python {kept['python']}, {kept['minutes']} minutes"
    )
    return "\n".join([about, "", *("" if line == "|  |" else line for line in lines)])


def _cells(run: Mapping[str, Any]) -> list[str]:
    values = [len(run["breaches"]) if name == "breaches" else run.get(name, "") for name in COLUMNS.values()]
    return [f"{value:,}" if isinstance(value, int) else str(value) for value in values]


def _sum(counts: Iterator[Counter[str]]) -> Counter[str]:
    return sum(counts, Counter())


def _rate(count: int, seconds: float) -> float:
    return round(count / max(seconds, 1) * 60, 1)


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, check=True, text=True).stdout.strip()
