"""What was measured: rounds of pairs, their ratio's median and spread; kept as JSON, compared with an earlier run."""

from __future__ import annotations

import json
import os
import platform
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

FOLDER = Path(__file__).resolve().parents[2] / "deploy" / "bench"
RESULTS = FOLDER / "results.json"

#: What got worse by more than this share is told by `make bench-check`.
NOTABLE = 0.2


@dataclass(slots=True)
class Row:
    """One line of the table. ``better``: which way the ratio ours / theirs is good; ``goal``: its bound, if any."""

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

    @property
    def ratios(self) -> list[float]:
        """Ours over theirs, by round; without anything to compare with, ours as it is."""
        if not self.theirs:
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


def save(rows: Sequence[Row], sizes_name: str, path: Path = RESULTS) -> None:
    """Write the results; rows of an earlier run that this one did not measure stay."""
    before = load(path)["rows"] if path.exists() else {}
    measured = {row.key: _json(row) for row in rows}
    document = {
        "machine": {"cpus": os.cpu_count(), "system": platform.platform(), "python": platform.python_version()},
        "sizes": sizes_name,
        "rows": before | measured,
    }
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def load(path: Path = RESULTS) -> dict[str, Any]:
    """The document that ``save`` wrote."""
    document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return document


def rows_of(document: Mapping[str, Any]) -> list[Row]:
    """The rows of a saved document."""
    names = set(Row.__dataclass_fields__)
    return [Row(**{name: value for name, value in row.items() if name in names}) for row in document["rows"].values()]


def worse(before: Sequence[Row], now: Sequence[Row]) -> list[tuple[Row, Row, float]]:
    """Rows whose ratio got worse by more than NOTABLE: before, now, and by which share."""
    earlier = {row.key: row for row in before}
    found = []
    for row in now:
        old = earlier.get(row.key)
        if old is None or not old.ratio or not row.ratio:
            continue
        change = 1 - row.ratio / old.ratio if row.better == "more" else 1 - old.ratio / row.ratio
        if change > NOTABLE:
            found.append((old, row, change))
    return found


def _json(row: Row) -> dict[str, Any]:
    rounded = {name: [round(value, 4) for value in getattr(row, name)] for name in ("ours", "theirs")}
    spread = {"ratio": round(row.ratio, 4), "low": round(min(row.ratios), 4), "high": round(max(row.ratios), 4)}
    return asdict(row) | rounded | spread | {"met": row.met}
