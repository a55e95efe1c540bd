"""Whether a figure stayed flat: its median in the last fifth of a run against that of the second fifth."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

#: The first fifth is left out: what is filled for the first time grows.
FIFTHS = 5


@dataclass(frozen=True, slots=True)
class Series:
    """A figure over time. It is flat while it grows by no more than ``share`` of itself plus ``floor``."""

    key: str
    what: str
    unit: str
    share: float = 0.1
    floor: float = 0.0
    judged: bool = True  #: False: shown only; it grows with the work that was done, or follows the machine


@dataclass(frozen=True, slots=True)
class Verdict:
    """``second`` and ``last``: medians of these fifths; ``slope``: units an hour, over all but the first fifth."""

    series: Series
    second: float
    last: float
    slope: float

    @property
    def flat(self) -> bool | None:
        """None where it is only shown. What falls is flat: nothing here is bad for being small."""
        if not self.series.judged:
            return None
        return self.last <= self.second * (1 + self.series.share) + self.series.floor

    @property
    def word(self) -> str:
        """For the table."""
        return {None: "shown", True: "flat", False: "GROWS"}[self.flat]


def judge(series: Series, points: Sequence[tuple[float, float]]) -> Verdict | None:
    """Judge (seconds since the start, value) points in the order of time; None with too few of them to tell."""
    if len(points) < 2 * FIFTHS:
        return None
    begin, end = points[0][0], points[-1][0]
    parts: list[list[float]] = [[] for _ in range(FIFTHS)]
    for at, value in points:
        parts[min(int((at - begin) / (end - begin) * FIFTHS), FIFTHS - 1)].append(value)
    if not parts[1] or not parts[-1]:
        return None
    settled = [point for point in points if point[0] >= begin + (end - begin) / FIFTHS]
    return Verdict(series, statistics.median(parts[1]), statistics.median(parts[-1]), _slope(settled) * 3600)


def judge_all(series: Sequence[Series], samples: Sequence[Mapping[str, float]]) -> list[Verdict]:
    """Verdicts of all series that have enough points; a sample holds ``seconds`` and any of the series' keys."""
    found = []
    for one in series:
        points = [(sample["seconds"], sample[one.key]) for sample in samples if one.key in sample]
        verdict = judge(one, points)
        if verdict is not None:
            found.append(verdict)
    return found


def _slope(points: Sequence[tuple[float, float]]) -> float:
    """Of the straight line with the least squares; units a second."""
    if len({at for at, _ in points}) < 2:
        return 0.0
    return statistics.linear_regression(*zip(*points, strict=True)).slope
