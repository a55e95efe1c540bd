"""What this worker did lately, for computing how many workers the work takes."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field

from domain.decision import Stage
from domain.demand import WINDOW_SECONDS
from domain.looks import account_of
from domain.work_report import ROWS, WEBHOOKS, Part, Report, Worked
from workers.engine import Observer

WINDOW, LONG = WINDOW_SECONDS, 60.0
CALLING = frozenset({Stage.CREATE, Stage.CHECK, Stage.DELIVER})
COUNTED = CALLING | {Stage.CLOCK, Stage.CALLBACK}


@dataclass(slots=True)
class _Sums:
    """Sums since the start."""

    at: float = 0.0
    core_seconds: float = 0.0
    results: int = 0
    commits: int = 0
    commit_seconds: float = 0.0
    rows: Counter[Part] = field(default_factory=Counter)
    held_seconds: dict[Part, float] = field(default_factory=dict)

    def copy(self, at: float, core_seconds: float) -> _Sums:
        return _Sums(
            at, core_seconds, self.results, self.commits, self.commit_seconds, self.rows.copy(), dict(self.held_seconds)
        )


class WorkTally(Observer):
    """Counts on the loop and reports from another thread."""

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, core_clock: Callable[[], float] = time.process_time
    ) -> None:
        self._clock, self._core_clock = clock, core_clock
        self._lock = threading.Lock()
        self._sums = _Sums()
        self._kept = deque([self._sums.copy(clock(), core_clock())])  #: the sums at each report of the last minute

    def performed(self, stage: Stage, lane: str, rows: int, seconds: float) -> None:
        """A group took one slot for ``seconds``."""
        if stage in CALLING:
            part = stage, (WEBHOOKS if stage is Stage.DELIVER else account_of(lane))
            with self._lock:
                self._sums.rows[part] += rows
                self._sums.held_seconds[part] = self._sums.held_seconds.get(part, 0.0) + seconds

    def committed(self, stage: Stage, results: int, left: int, seconds: float) -> None:
        """One transaction."""
        if stage not in COUNTED:
            return
        with self._lock:
            self._sums.results += results
            self._sums.commits += 1
            self._sums.commit_seconds += seconds
            if stage not in CALLING:
                self._sums.rows[stage, ROWS] += results

    def report(self) -> Report:
        """The work since a minute ago. To be called every few seconds."""
        with self._lock:
            now = self._sums.copy(self._clock(), self._core_clock())
        while len(self._kept) > 1 and self._kept[1].at <= now.at - LONG:
            self._kept.popleft()
        first = self._kept[0]
        recent = next((one for one in reversed(self._kept) if one.at <= now.at - WINDOW), first)
        self._kept.append(now)
        return Report(
            seconds=now.at - first.at,
            core_seconds=now.core_seconds - first.core_seconds,
            results=now.results - first.results,
            commits=now.commits - first.commits,
            commit_seconds=now.commit_seconds - first.commit_seconds,
            work={part: _worked(part, first, recent, now) for part in now.rows if now.rows[part] > first.rows[part]},
        )


def _worked(part: Part, first: _Sums, recent: _Sums, now: _Sums) -> Worked:
    rows = now.rows[part] - first.rows[part]
    held = now.held_seconds.get(part, 0.0) - first.held_seconds.get(part, 0.0)
    seconds = max(now.at - recent.at, 1.0)
    return Worked((now.rows[part] - recent.rows[part]) / seconds, held / rows)
