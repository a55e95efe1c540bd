"""Small charts without axes, drawn as paths of SVG: a line, the area below it, the line of a goal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 160.0, 32.0
#: Room above the highest value, so that a line is not cut.
TOP = 2.0


@dataclass(frozen=True, slots=True)
class Sparkline:
    """``line`` and ``area``: the ``d`` of a path, empty where there is nothing; ``goal``: how high its line is, from
    the top; None without one, or far above everything."""

    line: str
    area: str
    goal: float | None


def sparkline(values: Sequence[float | None], goal: float | None = None) -> Sparkline:
    """Values at equal distances from left to right; at a None the line is broken. The scale goes from 0 to the highest
    value, or to the goal if that is higher."""
    told = [value for value in values if value is not None]
    most = max([*told, goal or 0.0, 1e-9])
    runs = list(_runs(values, most))
    line = " ".join(_line(run) for run in runs)
    area = " ".join(f"{_line(run)} L{_at(run[-1][0])} {_at(HEIGHT)} L{_at(run[0][0])} {_at(HEIGHT)}Z" for run in runs)
    return Sparkline(line, area, None if goal is None else round(_height(goal, most), 2))


def _runs(values: Sequence[float | None], most: float) -> Iterator[list[tuple[float, float]]]:
    """Points next to each other. One alone is as wide as its place."""
    step = WIDTH / max(1, len(values) - 1)
    run: list[tuple[float, float]] = []
    for number, value in enumerate([*values, None]):
        if value is not None:
            run.append((number * step, _height(value, most)))
        elif run:
            yield run if len(run) > 1 else _widened(run[0], step)
            run = []


def _widened(point: tuple[float, float], step: float) -> list[tuple[float, float]]:
    x, y = point
    return [(max(0.0, x - step / 2), y), (min(WIDTH, x + step / 2), y)]


def _height(value: float, most: float) -> float:
    return HEIGHT - (HEIGHT - TOP) * value / most


def _line(points: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{'L' if number else 'M'}{_at(x)} {_at(y)}" for number, (x, y) in enumerate(points))


def _at(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
