"""Bars of tries over time, as numbers for an SVG: delivered upwards, failed downwards."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

LENGTH, STEP = timedelta(hours=4), timedelta(minutes=5)
LEFT, TOP, WIDTH, HEIGHT = 32, 8, 568, 124
GAP = 2.0
LINE_HEIGHT = 14  #: numbers that are nearer would cover each other: zero's stays
#: A scale ends at one of these, times a power of ten.
_ROUND = (1, 2, 3, 4, 6, 8)


@dataclass(frozen=True, slots=True)
class Bar:
    """What happened in one step of time."""

    begins: datetime
    x: float
    delivered: int
    failed: int
    up: tuple[float, float]  #: where it begins, and how high it is
    down: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Bars:
    """All of them; ``zero`` is the line between the two. ``lines``: where a number stands beside the bars."""

    bars: Sequence[Bar]
    width: float  #: of one
    zero: float
    lines: Sequence[tuple[float, int]]
    hours: Sequence[tuple[float, datetime]]
    delivered: int
    failed: int


def bars_of(tries: Iterable[tuple[datetime, bool]], now: datetime) -> Bars:
    """``tries``: when, and whether it was delivered. Steps begin at whole minutes of the clock."""
    count = LENGTH // STEP
    end = now.replace(minute=now.minute // 5 * 5, second=0, microsecond=0) + STEP
    begin = end - LENGTH
    up, down = [0] * count, [0] * count
    for at, delivered in tries:
        place = (at - begin) // STEP
        if 0 <= place < count:
            (up if delivered else down)[place] += 1
    most_up, most_down = _scale(max(up)), _scale(max(down)) if any(down) else 0
    unit = HEIGHT / (most_up + most_down)
    zero, step = TOP + most_up * unit, WIDTH / count
    bars = [
        Bar(
            begin + place * STEP,
            round(LEFT + place * step + GAP / 2, 2),
            up[place],
            down[place],
            (round(zero - up[place] * unit, 2), round(up[place] * unit, 2)),
            (round(zero, 2), round(down[place] * unit, 2)),
        )
        for place in range(count)
    ]
    ends = [(TOP, most_up), (TOP + HEIGHT, most_down)] if most_down else [(TOP, most_up)]
    lines = sorted([(round(zero, 2), 0), *(line for line in ends if abs(line[0] - zero) >= LINE_HEIGHT)])
    hours = [(round(LEFT + place * step, 2), begin + place * STEP) for place in range(0, count, count // 4)]
    return Bars(bars, round(step - GAP, 2), round(zero, 2), lines, hours, sum(up), sum(down))


def _scale(most: int) -> int:
    """The next round number."""
    power = 1
    while True:
        for digit in _ROUND:
            if digit * power >= most:
                return digit * power
        power *= 10
