"""The web process's metrics, and who may read them."""

from __future__ import annotations

import asyncio

from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from starlette.requests import Request
from starlette.responses import Response

from workers.http.networks import contains
from workers.telemetry.metrics import Children
from workers.telemetry.metrics import Metrics as Declared
from workers.telemetry.rows import RowReader
from workers.web.problems import NO_PAGE, problem
from workers.web.threads import STORE_THREADS, Overloaded, StoreThreads

#: How long a scrape waits for metrics from the database's rows; it is answered without them then.
ROWS_SECONDS = 2.0
#: Methods that have a label of their own. All others are "other": anybody may send any word.
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Metrics:
    """The metrics that the web process sets, among all that are declared."""

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
        self.reader: RowReader | None = None  #: of metrics from the database's rows

    def observe(self, route: str, method: str, status: int, seconds: float) -> None:
        """A request was answered."""
        self._requests[route, method if method in METHODS else "other", str(status)].inc()
        self._seconds[route,].observe(seconds)


class MetricsPage:
    """``GET /metrics``: for the addresses that are allowed; 404 for all others."""

    def __init__(self, metrics: Metrics, allowed: tuple[str, ...], rows_seconds: float = ROWS_SECONDS) -> None:
        self._metrics = metrics
        self._rows_seconds = rows_seconds
        self._allowed = allowed
        self._threads = StoreThreads(STORE_THREADS["metrics"], most_calls=8)

    async def answer(self, request: Request) -> Response:
        """The metrics as text."""
        client = request.client.host if request.client else ""
        if not contains(self._allowed, client):
            return problem(404, NO_PAGE)
        await self._read_rows()
        text = await asyncio.to_thread(generate_latest, self._metrics.registry)
        return Response(text, media_type=CONTENT_TYPE_LATEST)

    def close(self) -> None:
        """The last request is over."""
        self._threads.close()

    async def _read_rows(self) -> None:
        reader = self._metrics.reader
        if reader is None:
            return
        try:
            await self._threads.run(reader.refresh, seconds=self._rows_seconds)
        except Overloaded:
            reader.give_up()
