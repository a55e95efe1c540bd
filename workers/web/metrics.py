"""What Prometheus may read of the web process, and who may read it."""

from __future__ import annotations

from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from starlette.requests import Request
from starlette.responses import Response

from workers.http.networks import contains
from workers.telemetry.metrics import Children
from workers.telemetry.metrics import Metrics as Declared
from workers.web.problems import problem

#: Methods that are told apart; anybody may send any other word.
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Metrics:
    """The web process's own, among all that are declared."""

    def __init__(self, version: str, declared: Declared | None = None) -> None:
        self.declared = declared = declared or Declared(version)
        self.registry = declared.registry
        self.callbacks = Children(declared.counter("invoices_callbacks_total"))
        self.callback_seconds = Children(declared.histogram("invoices_callback_kept_seconds"))
        self.waiting = declared.gauge("invoices_api_waiting")
        self.following = declared.gauge("invoices_api_following")
        self._requests = Children(declared.counter("invoices_web_requests_total"))
        self._seconds = Children(declared.histogram("invoices_web_request_seconds"))
        declared.tell_role("web")

    def observe(self, route: str, method: str, status: int, seconds: float) -> None:
        """A request was answered."""
        self._requests[route, method if method in METHODS else "other", str(status)].inc()
        self._seconds[route,].observe(seconds)


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
