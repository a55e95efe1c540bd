"""Counters and histograms. Telling one is a call; the client library's go through five functions and more."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate
from math import inf
from typing import Generic, TypeVar

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from workers.telemetry.families import Family


class Count:
    """A counter. Told from any thread."""

    __slots__ = ("_lock", "value")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.value = 0.0

    def inc(self, amount: float = 1) -> None:
        """Add to it."""
        with self._lock:
            self.value += amount


class Spread:
    """A histogram. Told from any thread."""

    __slots__ = ("_bounds", "_counts", "_lock", "_sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        """``bounds``: of its buckets, ascending, the last one infinite."""
        self._lock = threading.Lock()
        self._bounds = bounds
        self._counts = [0] * len(bounds)
        self._sum = 0.0

    def observe(self, amount: float) -> None:
        """Count a value."""
        place = bisect_left(self._bounds, amount)
        with self._lock:
            self._counts[place] += 1
            self._sum += amount

    def read(self) -> tuple[Iterable[int], float]:
        """How many values are not above each bound, and the sum of all."""
        with self._lock:
            return accumulate(list(self._counts)), self._sum


Child = TypeVar("Child", bound=Count | Spread)


class Sums(Collector, Generic[Child]):
    """One metric: its children by the values of its labels."""

    def __init__(self, family: Family, new: Callable[[], Child]) -> None:
        self._family = family
        self._new: Callable[[], Child] = new
        self._children: dict[tuple[str, ...], Child] = {}
        if not family.labels:
            self.labels()

    def labels(self, *values: str) -> Child:
        """The child with these labels; without any, the only one."""
        if len(values) != len(self._family.labels):
            raise ValueError(f"{self._family.name} has the labels {self._family.labels}")
        return self._children.setdefault(values, self._new())


class Counts(Sums[Count]):
    """A metric of counters."""

    def __init__(self, family: Family) -> None:
        super().__init__(family, Count)

    def collect(self) -> Iterable[Metric]:
        """Called by the client library at each scrape."""
        found = CounterMetricFamily(self._family.name, self._family.help, labels=self._family.labels)
        for labels, child in list(self._children.items()):
            found.add_metric(labels, child.value)
        return [found]


class Spreads(Sums[Spread]):
    """A metric of histograms."""

    def __init__(self, family: Family) -> None:
        bounds = (*family.buckets, inf)
        self._names = [floatToGoString(bound) for bound in bounds]  # type: ignore[no-untyped-call]
        super().__init__(family, lambda: Spread(bounds))

    def collect(self) -> Iterable[Metric]:
        """Called by the client library at each scrape."""
        found = HistogramMetricFamily(self._family.name, self._family.help, labels=self._family.labels)
        for labels, child in list(self._children.items()):
            counts, total = child.read()
            found.add_metric(labels, list(zip(self._names, counts, strict=True)), total)
        return [found]
