"""What Prometheus may read. Labels are accounts, routes and outcomes: never an order, an address or a URL."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from starlette.requests import Request
from starlette.responses import Response

from workers.web.networks import contains
from workers.web.problems import problem

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
#: Methods that are told apart; anybody may send any other word.
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Metrics:
    """The web process's own."""

    def __init__(self, version: str) -> None:
        self.registry = CollectorRegistry()
        self.callbacks = Counter(
            "invoices_callbacks",
            "Callbacks of providers, by what came of them.",
            ("account", "outcome"),
            registry=self.registry,
        )
        self.callback_seconds = Histogram(
            "invoices_callback_kept_seconds",
            "From a callback's first byte to its being kept.",
            ("account",),
            buckets=SECONDS,
            registry=self.registry,
        )
        self._requests = Counter(
            "invoices_web_requests", "Requests answered.", ("route", "method", "status"), registry=self.registry
        )
        self._seconds = Histogram(
            "invoices_web_request_seconds",
            "How long requests took.",
            ("route",),
            buckets=SECONDS,
            registry=self.registry,
        )
        self.waiting = Gauge(
            "invoices_api_waiting", "Requests that wait for an invoice to change.", registry=self.registry
        )
        self.following = Gauge("invoices_api_following", "Readers that follow the log live.", registry=self.registry)
        build = Gauge("invoices_build_info", "What runs here.", ("version",), registry=self.registry)
        build.labels(version).set(1)

    def observe(self, route: str, method: str, status: int, seconds: float) -> None:
        """A request was answered."""
        self._requests.labels(route, method if method in METHODS else "other", str(status)).inc()
        self._seconds.labels(route).observe(seconds)


class MetricsPage:
    """``GET /metrics``: for those who are named, and not there for anybody else."""

    def __init__(self, metrics: Metrics, allowed: tuple[str, ...]) -> None:
        self._metrics = metrics
        self._allowed = allowed

    async def answer(self, request: Request) -> Response:
        """The metrics as text."""
        client = request.client.host if request.client else ""
        if not contains(self._allowed, client):
            return problem(404)
        return Response(generate_latest(self._metrics.registry), media_type=CONTENT_TYPE_LATEST)
