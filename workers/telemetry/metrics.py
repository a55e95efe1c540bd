"""One process's metrics: every family of the table, declared once, with its children kept at hand."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Generic, TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, disable_created_metrics
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from workers.telemetry.families import FAMILIES, By, Family, Kind

#: Combinations of one metric's labels; beyond that all count as ``OTHER``.
MOST_CHILDREN = 5000
OTHER = "other"

Child = TypeVar("Child", Counter, Gauge, Histogram)
#: One metric's values, by the values of its labels.
Values = Mapping[tuple[str, ...], float]


class Children(dict[tuple[str, ...], Child], Generic[Child]):
    """A metric's children by the values of their labels. Each is looked up in the client library once: that is slow."""

    def __init__(self, parent: Child) -> None:
        super().__init__()
        self._parent: Child = parent

    def __missing__(self, labels: tuple[str, ...]) -> Child:
        full = len(self) >= MOST_CHILDREN
        child: Child = self._parent.labels(*((OTHER,) * len(labels) if full else labels))
        if not full:
            self[labels] = child
        return child


class Rows(Collector):
    """The metrics read from the database's rows. Only in the web process do they have values."""

    def __init__(self) -> None:
        self._values: Mapping[str, Values] = {}

    def show(self, values: Mapping[str, Values]) -> None:
        """Replace the values."""
        self._values = values

    def collect(self) -> Iterable[Metric]:
        """Called by the client library at each scrape."""
        values = self._values
        for family in FAMILIES:
            if family.by is By.ROWS:
                yield _gauge(family, values.get(family.name, {}))


class Metrics:
    """All families, in a registry of their own."""

    def __init__(self, version: str) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # they would be a second series for each metric
        self.registry = CollectorRegistry()
        self._version = version
        self._counters: dict[str, Counter] = {}
        self._gauges: dict[str, Gauge] = {}
        self._histograms: dict[str, Histogram] = {}
        for family in FAMILIES:
            if family.by is not By.ROWS:
                self._declare(family)
        self.rows = Rows()
        self.registry.register(self.rows)
        ProcessCollector(registry=self.registry)

    def counter(self, name: str) -> Counter:
        """A counter by its name in the table."""
        return self._counters[name]

    def gauge(self, name: str) -> Gauge:
        """A gauge that the process sets itself."""
        return self._gauges[name]

    def histogram(self, name: str) -> Histogram:
        """A histogram."""
        return self._histograms[name]

    def tell_role(self, role: str) -> None:
        """Say that the process is ready, and in which role."""
        self.gauge("invoices_build_info").labels(self._version, role).set(1)

    def _declare(self, family: Family) -> None:
        name, text, labels = family.name, family.help, family.labels
        if family.kind is Kind.COUNTER:
            self._counters[name] = Counter(name, text, labels, registry=self.registry)
        elif family.kind is Kind.GAUGE:
            self._gauges[name] = Gauge(name, text, labels, registry=self.registry)
        else:
            self._histograms[name] = Histogram(name, text, labels, registry=self.registry, buckets=family.buckets)


def _gauge(family: Family, values: Values) -> GaugeMetricFamily:
    found = GaugeMetricFamily(family.name, family.help, labels=family.labels)
    for labels, value in sorted(values.items()):
        found.add_metric(labels, value)
    return found
