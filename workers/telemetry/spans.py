"""Steps as OpenTelemetry's spans, sent by OTLP over HTTP. Imports OpenTelemetry: see ``traces.py``.

Spans wait in a bounded queue for a thread of their own. Those that don't fit or can't be sent are dropped, which is
logged at most once a minute: orders never wait for them.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Sequence

import structlog
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import Span as OtelSpan
from opentelemetry.trace import SpanKind, Status, StatusCode, format_span_id, format_trace_id
from opentelemetry.trace import Tracer as OtelTracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from domain.trace import trace_headers
from domain.tracing import Attributes, Kind, Span, Tracer
from workers.telemetry.batches import BatchSpans
from workers.telemetry.sampling import CHOSEN, Linked, Share, read_sampler

log = structlog.get_logger()

CLOSE_SECONDS = 3.0  #: for sending what is left at the end of a process
TELL_SECONDS = 60.0
_KINDS = {kind.name.lower(): kind for kind in SpanKind}
_EMPTY = Context()  #: instead of the current context, which may be anybody's
_PROPAGATOR = TraceContextTextMapPropagator()


def context_of(trace: str | None) -> Context:
    """The trace as OpenTelemetry takes a parent."""
    return _EMPTY if trace is None else _PROPAGATOR.extract(trace_headers(trace), _EMPTY)


def open_spans(version: str) -> tuple[Tracer, BatchSpans, Callable[[], None]]:
    """Returns what records the steps of orders, what records batches, and a function that ends both. Raises
    ValueError."""
    sampler, share = read_sampler(os.environ)
    provider = TracerProvider(sampler=Linked(sampler), resource=_resource(version), shutdown_on_exit=False)
    exporter = Exporter(OTLPSpanExporter())
    provider.add_span_processor(BatchSpanProcessor(exporter))
    tracer = provider.get_tracer("invoices", version)
    closing = threading.Lock()

    def close() -> None:
        if closing.acquire(blocking=False):  # once
            ending = threading.Thread(target=provider.shutdown, name="traces", daemon=True)
            ending.start()
            ending.join(CLOSE_SECONDS)
            exporter.tell_last()

    steps = SpanTracer(tracer, share)
    return steps, BatchSpans(tracer, context_of, share, steps), close


def _resource(version: str) -> Resource:
    """``OTEL_SERVICE_NAME`` and ``OTEL_RESOURCE_ATTRIBUTES`` win over our own name."""
    named = os.environ.get("OTEL_SERVICE_NAME") or "service.name=" in os.environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
    name = {} if named else {"service.name": "invoices"}
    return Resource.create({"service.version": version, "process.pid": os.getpid(), **name})


class SpanTracer(Tracer):
    """Steps of orders."""

    is_on = True

    def __init__(self, tracer: OtelTracer, share: Share) -> None:
        self._tracer = tracer
        self._share = share

    def begin(
        self,
        name: str,
        trace: str | None,
        about: Attributes | None = None,
        *,
        kind: Kind = "internal",
        is_first: bool = False,
        seconds_ago: float = 0.0,
    ) -> Span:
        """See ``Tracer``."""
        if trace is None and not (is_first and self._share.takes()):
            return Span(None)
        parent = CHOSEN if trace is None else context_of(trace)
        started = time.time_ns() - int(seconds_ago * 1e9)
        span = self._tracer.start_span(name, parent, _KINDS[kind], attributes=_told(about), start_time=started)
        return RecordedSpan(span) if span.is_recording() else Span(trace)


class RecordedSpan(Span):
    """A step that was sampled."""

    __slots__ = ("_span",)

    def __init__(self, span: OtelSpan) -> None:
        self._span = span
        context = span.get_span_context()
        parent = f"00-{format_trace_id(context.trace_id)}-{format_span_id(context.span_id)}-{context.trace_flags:02x}"
        state = context.trace_state.to_header()
        super().__init__(f"{parent} {state}" if state else parent)

    def end(self, about: Attributes | None = None, *, error: str | None = None) -> None:
        """See ``Span``."""
        self._span.set_attributes(_told(about))
        if error is not None:
            self._span.set_status(Status(StatusCode.ERROR, error))
        self._span.end()


def _told(about: Attributes | None) -> dict[str, str | int]:
    return {f"invoices.{name}": value for name, value in (about or {}).items() if value is not None}


class Exporter(SpanExporter):
    """Sends spans, and logs, once a minute at most, how many could not be sent and why."""

    def __init__(self, inner: SpanExporter) -> None:
        self._inner = inner
        self._words = _LastWords()
        self._lost = self._in_hand = 0
        self._told_at = -TELL_SECONDS

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Runs in the queue's own thread. The library tries for some seconds before it gives up."""
        self._in_hand = len(spans)
        result = self._inner.export(spans)
        self._in_hand = 0
        if result is not SpanExportResult.SUCCESS:
            self._lost += len(spans)
            if time.monotonic() - self._told_at >= TELL_SECONDS:
                self.tell_rest()
        return result

    def tell_last(self) -> None:
        """At the end of the process: spans still being sent are lost too."""
        self._lost, self._in_hand = self._lost + self._in_hand, 0
        self.tell_rest()

    def tell_rest(self) -> None:
        """Log what was lost since the last time."""
        if self._lost:
            log.warning("traces.not_sent", spans=self._lost, error=self._words.text, consequence="they are dropped")
            self._lost, self._told_at = 0, time.monotonic()

    def shutdown(self) -> None:
        """Nothing is sent any more."""
        self._inner.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Nothing is kept here."""
        return True


class _LastWords(logging.Handler):
    """Keeps the library's last words out of the log: there would be a line for every try."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.text = ""
        library = logging.getLogger("opentelemetry")
        library.addHandler(self)
        library.propagate = False

    def emit(self, record: logging.LogRecord) -> None:
        """Never raises."""
        try:
            self.text = record.getMessage()[:200]
        except Exception:  # noqa: BLE001 - whatever was handed to the logger
            self.text = "?"
