"""The loads: what arrives when, at which accounts, and what bounds them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

MINUTE = 60.0

#: Orders a second at a time in seconds.
Arrivals = Callable[[float], float]


@dataclass(frozen=True, slots=True)
class Shop:
    """An account: its orders, its calls, its limits."""

    arrivals: Arrivals
    call_seconds: float
    slots_per_worker: int = 100
    rate_per_second: float | None = None


@dataclass(frozen=True, slots=True)
class Scene:
    """Accounts that share workers and a database."""

    name: str
    shops: tuple[Shop, ...]
    core_seconds: float = 0.0016  #: of a worker, for each order: the benchmark's row `cost-whole`
    database_per_second: float = 5_000.0  #: orders that the database commits


def steady(rate: float) -> Arrivals:
    """The same all the time."""
    return lambda _: rate


def daily(lowest: float, highest: float, minutes: float) -> Arrivals:
    """A day's curve, in so many minutes."""
    middle, swing = (lowest + highest) / 2, (highest - lowest) / 2
    return lambda seconds: middle - swing * math.cos(2 * math.pi * seconds / (minutes * MINUTE))


def stretches(usual: float, high: float, every_minutes: float, for_minutes: float) -> Arrivals:
    """More for a while, again and again; not at the beginning."""

    def rate(seconds: float) -> float:
        return high if seconds % (every_minutes * MINUTE) >= (every_minutes - for_minutes) * MINUTE else usual

    return rate


def step(before: float, after: float, at_minutes: float) -> Arrivals:
    """More from then on."""
    return lambda seconds: before if seconds < at_minutes * MINUTE else after


SCENES = (
    Scene("calls take long", (Shop(steady(150), 2.0, slots_per_worker=60),)),
    Scene("a day's curve", (Shop(daily(40, 240, 240), 2.0),)),
    Scene("workers' cores", (Shop(daily(400, 2000, 240), 0.5, slots_per_worker=1000),)),
    Scene("provider's rate", (Shop(stretches(36, 90, 60, 3), 2.0, slots_per_worker=10, rate_per_second=60),)),
    Scene("database", (Shop(stretches(200, 450, 60, 3), 1.0, slots_per_worker=50),), database_per_second=300),
    Scene("bursts", (Shop(stretches(30, 120, 4, 1 / 3), 2.0, slots_per_worker=30),)),
    Scene("twice as much at once", (Shop(step(100, 200, 60), 2.0),)),
    Scene(
        "two accounts",
        (Shop(stretches(6, 20, 60, 3), 2.0, rate_per_second=10), Shop(daily(40, 160, 120), 2.0, slots_per_worker=50)),
    ),
)
