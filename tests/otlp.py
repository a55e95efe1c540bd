"""A collector on loopback: takes spans as OTLP over HTTP and keeps them, decoded."""

from __future__ import annotations

import gzip
import threading
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

UNPACK: dict[str | None, Callable[[bytes], bytes]] = {None: bytes, "gzip": gzip.decompress, "deflate": zlib.decompress}


@dataclass(frozen=True)
class Kept:
    """A span as it came."""

    name: str
    trace_id: str
    span_id: str
    parent: str  #: its id; empty for the first of a trace
    kind: int
    attributes: dict[str, Any]
    links: list[tuple[str, str]]  #: trace and span
    error: str | None
    resource: dict[str, Any]


@dataclass
class Collector:
    """`with Collector() as collector: … OTEL_EXPORTER_OTLP_ENDPOINT=collector.url`."""

    status: int = 200
    spans: list[Kept] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)

    def __enter__(self) -> Collector:
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                collector.take(self.path, dict(self.headers), UNPACK[self.headers.get("content-encoding")](body))
                self.send_response(collector.status)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Nothing is printed."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        """Its address, as the standard variable has it."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def take(self, path: str, headers: dict[str, str], body: bytes) -> None:
        assert path == "/v1/traces"
        found = ExportTraceServiceRequest.FromString(body)
        self.headers.append(headers)
        for part in found.resource_spans:
            resource = _plain(part.resource.attributes)
            self.spans += [_kept(span, resource) for scope in part.scope_spans for span in scope.spans]

    def named(self, name: str, trace_id: str | None = None) -> list[Kept]:
        """Spans of this name, of one trace or of any."""
        return [span for span in self.spans if span.name == name and trace_id in (None, span.trace_id)]


def _kept(span: Any, resource: dict[str, Any]) -> Kept:
    links = [(link.trace_id.hex(), link.span_id.hex()) for link in span.links]
    error = span.status.message if span.status.code == 2 else None
    ids = span.trace_id.hex(), span.span_id.hex(), span.parent_span_id.hex()
    return Kept(span.name, *ids, span.kind, _plain(span.attributes), links, error, resource)


def _plain(attributes: Any) -> dict[str, Any]:
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in attributes}
