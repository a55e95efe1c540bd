"""Whether steps are recorded as spans: only if ``OTEL_EXPORTER_OTLP_ENDPOINT`` says where to send them.

Only then is OpenTelemetry imported, which is the extra ``otel``. Its own variables (``OTEL_…``) set all the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

import structlog

from domain.tracing import OFF, Tracer
from workers.engine import Observer

log = structlog.get_logger()

#: Both mean the same; the second is for traces only.
ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
INSTALL = "pip install 'invoices[otel]'"


@dataclass(frozen=True, slots=True)
class Traces:
    """What records spans in this process, if they are recorded."""

    tracer: Tracer = OFF
    observers: Sequence[Observer] = field(default=())
    close: Callable[[], None] = lambda: None  #: sends what is left, for a few seconds at most; further calls do nothing


def are_wanted(environ: Mapping[str, str]) -> bool:
    """Whether an address is set, and no standard variable switches traces off."""
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    if environ.get("OTEL_TRACES_EXPORTER", "").strip().lower() == "none":
        return False
    return any(environ.get(name, "").strip() for name in ENDPOINTS)


def secrets_of(environ: Mapping[str, str]) -> list[str]:
    """What must not appear in the log: the values of the exporter's headers, the passwords in its addresses."""
    given = [value for name, value in environ.items() if name.startswith("OTEL_") and name.endswith("_HEADERS")]
    secrets = [unquote(part.partition("=")[2].strip()) for value in given for part in value.split(",")]
    for name in ENDPOINTS:
        with suppress(ValueError):  # not a URL: logged once nothing can be sent there
            password = urlsplit(environ.get(name, "")).password
            secrets += [password, unquote(password)] if password else []
    return [secret for secret in secrets if secret]


def open_traces(environ: Mapping[str, str], version: str) -> Traces:
    """Open them if they are wanted. Never raises: everything works without spans, so a problem is only a warning."""
    if not are_wanted(environ):
        return Traces()
    try:
        from workers.telemetry.spans import open_spans
    except ModuleNotFoundError as error:
        if not str(error.name).startswith("opentelemetry"):
            raise
        log.warning("traces.not_installed", install=INSTALL, consequence="no spans are recorded")
        return Traces()
    try:
        tracer, observer, close = open_spans(version)
    except Exception as error:  # noqa: BLE001 - a variable that the library does not take
        log.warning("traces.off", error=f"{type(error).__name__}: {error}"[:300], consequence="no spans are recorded")
        return Traces()
    log.info("traces.started", sampler=environ.get("OTEL_TRACES_SAMPLER") or "1 % of new traces, as their parents are")
    return Traces(tracer, (observer,), close)
