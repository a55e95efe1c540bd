"""What was measured: rounds of pairs, their ratio's median and spread; kept as JSON row by row, as it comes."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "deploy" / "bench"
#: Rows of different sizes never share a file. A trial's are not worth keeping: `var` is not committed.
FILES = {
    "default": FOLDER / "results.json",
    "full": FOLDER / "full.json",
    "tiny": ROOT / "var" / "bench" / "tiny.json",
}


@dataclass(slots=True)
class Row:
    """One line of the table. ``better``: which way its figure is good; ``goal``: its bound, if any."""

    key: str
    what: str
    against: str
    unit: str
    goal: float | None = None
    better: Literal["more", "less"] = "more"
    ours: list[float] = field(default_factory=list)
    theirs: list[float] = field(default_factory=list)
    note: str = ""
    cpu_ms: dict[str, float] = field(default_factory=dict)  #: CPU-milliseconds an invoice, by process
    judged: Literal["ratio", "ours"] = "ratio"  #: "ours": by itself; ``theirs`` stands beside it for comparison only
    commit: str = ""  #: of the code that was measured
    measured_at: str = ""  #: UTC
    python: str = ""  #: version and build: the same code has taken one build 1.4 times as long as another
    stolen: float = 0.0  #: share of the machine that its host gave to others meanwhile

    @property
    def ratios(self) -> list[float]:
        """Ours over theirs, by round; without anything to compare with, ours as it is."""
        if not self.theirs or self.judged == "ours":
            return self.ours
        return [ours / theirs if theirs else 0.0 for ours, theirs in zip(self.ours, self.theirs, strict=True)]

    @property
    def ratio(self) -> float:
        """The median over the rounds."""
        return statistics.median(self.ratios)

    @property
    def met(self) -> bool | None:
        """Whether the goal is met; None without one."""
        if self.goal is None:
            return None
        return self.ratio >= self.goal if self.better == "more" else self.ratio <= self.goal

    @property
    def verdict(self) -> str:
        """The same as a word."""
        return {None: "", True: "met", False: "missed"}[self.met]

    def run(self, rounds: int, ours: Callable[[], float], theirs: Callable[[], float] | None = None) -> Row:
        """Measure in rounds, interleaved; every other round begins with the other one."""
        for number in range(rounds):
            sides = [(self.ours, ours)] + ([(self.theirs, theirs)] if theirs else [])
            for values, measure in sides if number % 2 == 0 else reversed(sides):
                values.append(measure())
        return self


def percentile(values: Sequence[float], share: float) -> float:
    """The value that ``share`` (0..1) of all stay below or at; 0 without any."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


def results_path(sizes_name: str) -> Path:
    """Where rows of these sizes are kept; BENCH_RESULTS names another file."""
    named = os.environ.get("BENCH_RESULTS")
    return Path(named) if named else FILES[sizes_name]


def stamp(row: Row, stolen: float) -> Row:
    """Say which code was measured, when, and how much of the machine there was."""
    row.commit, row.measured_at = commit(), datetime.now(UTC).isoformat(timespec="seconds")
    row.python, row.stolen = interpreter(), round(stolen, 3)
    return row


def commit() -> str:
    """The commit at hand, `+` when files differ from it (those that a bench writes don't count)."""
    try:
        found = _git("rev-parse", "--short=10", "HEAD")
        return found + ("+" if _git("status", "--porcelain", "--", ".", ":!deploy/bench") else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"  # a tree without its history


def _git(*arguments: str) -> str:
    return subprocess.check_output(["git", *arguments], cwd=ROOT, text=True, stderr=subprocess.DEVNULL).strip()


def save(rows: Sequence[Row], sizes_name: str, path: Path) -> None:
    """Write the results; rows of an earlier run that this one did not measure stay, each tells when it was measured.

    Raises ValueError for a file of other sizes.
    """
    before: dict[str, Any] = load(path) if path.exists() else {"sizes": sizes_name, "rows": {}}
    if before["sizes"] != sizes_name:
        raise ValueError(f"{path} holds rows of {before['sizes']} sizes, these are of {sizes_name} sizes")
    document = {
        "machine": machine(),
        "sizes": sizes_name,
        "rows": before["rows"] | {row.key: _json(row) for row in rows},
    }
    write_json(path, document)


def machine() -> dict[str, Any]:
    """What it was measured on."""
    return {"cpus": os.cpu_count(), "system": platform.platform(), "python": interpreter()}


def interpreter() -> str:
    """Which Python runs this, and which build of it."""
    return f"{platform.python_version()}, {platform.python_compiler()}, {platform.python_build()[1]}"


def write_json(path: Path, document: Mapping[str, Any]) -> None:
    """Whole or not at all: a run may be cut short at any moment."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    fresh.replace(path)


def load(path: Path) -> dict[str, Any]:
    """The document that ``save`` wrote."""
    document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return document


def rows_of(document: Mapping[str, Any]) -> list[Row]:
    """The rows of a saved document."""
    names = set(Row.__dataclass_fields__)
    return [Row(**{name: value for name, value in row.items() if name in names}) for row in document["rows"].values()]


def _json(row: Row) -> dict[str, Any]:
    rounded = {name: [round(value, 4) for value in getattr(row, name)] for name in ("ours", "theirs")}
    spread = {"ratio": round(row.ratio, 4), "low": round(min(row.ratios), 4), "high": round(max(row.ratios), 4)}
    return asdict(row) | rounded | spread | {"met": row.met}
