"""The settings that a sweep found best for each rival, and all that it tried: `deploy/bench/rivals.json`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from math import sqrt
from statistics import median
from typing import Any

from tests.bench.results import FOLDER, commit, write_json

PATH = FOLDER / "rivals.json"


@dataclass(frozen=True, slots=True)
class Tried:
    """Settings, and what they gave. ``rates``: orders a second of each go, by kind of message; ``cpu_ms``: of an order,
    servers included, the median."""

    settings: Mapping[str, str]
    processes: int
    rates: Mapping[str, Sequence[float]]
    cpu_ms: float

    @property
    def score(self) -> float:
        """The rates of both kinds together: their geometric mean."""
        return sqrt(median(self.rates["create"]) * median(self.rates["create_many"]))


@dataclass(frozen=True, slots=True)
class Sweep:
    """A rival's sweep. ``count``: orders a go."""

    count: int
    tried: Sequence[Tried]
    commit: str = field(default_factory=commit)
    measured_at: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))

    @property
    def best(self) -> Tried:
        """What was quickest."""
        return max(self.tried, key=lambda one: one.score)


def kept() -> dict[str, Sweep]:
    """Every rival's newest sweep."""
    found: dict[str, Any] = json.loads(PATH.read_text(encoding="utf-8")) if PATH.exists() else {}
    return {name: Sweep(**{**one, "tried": [Tried(**tried) for tried in one["tried"]]}) for name, one in found.items()}


def keep(name: str, sweep: Sweep) -> None:
    """Instead of the rival's last one."""
    write_json(PATH, {other: asdict(one) for other, one in sorted((kept() | {name: sweep}).items())})


def best_settings(name: str) -> tuple[Mapping[str, str], int]:
    """The best settings, and the number of processes; before any sweep the app's own."""
    sweep = kept().get(name)
    return ({}, 2) if sweep is None else (sweep.best.settings, sweep.best.processes)
