"""``/metrics`` and ``/health/live`` of a process that serves nothing else, in a thread of its own."""

from __future__ import annotations

import errno
import ipaddress
import json
import sys
import threading
from collections.abc import Callable, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import structlog
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from workers.http.networks import contains

log = structlog.get_logger()

SECONDS = 10.0  #: a request may take
#: Ports that are tried for ``or_next``.
PORTS = 100


class PortTaken(OSError):  # noqa: N818 - reads as what happened
    """The port is taken. The message is one line that names the setting."""


class MetricsServer:
    """Listens as soon as it is made, until ``close``. Raises PortTaken."""

    def __init__(
        self,
        registry: CollectorRegistry,
        port: int,
        *,
        or_next: bool,
        allowed: tuple[str, ...],
        stuck: Callable[[], Sequence[str]] = tuple,
    ) -> None:
        """Listens on loopback, unless ``allowed`` names other addresses; others than those get no metrics.

        ``stuck`` names the loops of this process that no longer turn. Whoever gets through to the port may ask for
        that: what restarts processes does not ask from where metrics are read.
        """

        class Handler(_Handler):
            networks, metrics, stuck_loops = allowed, registry, staticmethod(stuck)

        self._server = _listen(_host(allowed), port, or_next, Handler)
        host, self.port = self._server.server_address[:2]
        self.url = f"http://{host!s}:{self.port}/metrics"
        threading.Thread(target=self._server.serve_forever, name="metrics", daemon=True).start()

    def tell(self) -> None:
        """Log where it listens. Apart from the constructor: logging is set up later."""
        log.info("metrics.listening", url=self.url)

    def close(self) -> None:
        """Listen no more."""
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 16

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that leaves early is no error of ours."""
        log.debug("metrics.request_failed", error=repr(sys.exc_info()[1])[:200])


class _Handler(BaseHTTPRequestHandler):
    """One request per connection."""

    timeout = SECONDS
    server_version, sys_version = "invoices", ""
    networks: tuple[str, ...]
    metrics: CollectorRegistry
    stuck_loops: Callable[[], Sequence[str]]

    def do_GET(self) -> None:
        """The metrics, whether this process is alive, or 404."""
        path = urlsplit(self.path).path
        if path == "/health/live":
            self._tell_liveness()
        elif path == "/metrics" and contains(self.networks, str(self.client_address[0])):
            self._answer(200, CONTENT_TYPE_LATEST, generate_latest(self.metrics))
        else:
            self._answer(404, "text/plain; charset=utf-8", b"not found\n")

    def _tell_liveness(self) -> None:
        stuck = list(self.stuck_loops())
        said = {"status": "stuck", "loops": stuck} if stuck else {"status": "ok"}
        self._answer(503 if stuck else 200, "application/json", json.dumps(said).encode())

    def _answer(self, status: int, content_type: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("content-type", content_type)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's name
        """Scrapes are not logged: one every few seconds says nothing."""


def _host(allowed: tuple[str, ...]) -> str:
    """The address to listen on: loopback if only this host is allowed."""
    only_us = all(ipaddress.ip_network(network).network_address.is_loopback for network in allowed)
    return "127.0.0.1" if only_us else "0.0.0.0"  # noqa: S104 - a setting allows others


def _listen(host: str, port: int, or_next: bool, handler: type[_Handler]) -> _Server:
    for tried in range(port, min(port + PORTS, 65536) if or_next else port + 1):
        try:
            return _Server((host, tried), handler)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise PortTaken(f"INVOICES_METRICS_PORT: can't listen on port {tried} of {host}: {error}") from None
    if or_next:
        raise PortTaken(f"INVOICES_METRICS_PORT: no port from {port} on is free on {host}")
    other = f"{port}+ takes the next free one, which is what several processes on one machine need"
    raise PortTaken(f"INVOICES_METRICS_PORT: port {port} of {host} is taken by another process: {other}")
