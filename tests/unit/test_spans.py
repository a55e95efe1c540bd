"""Spans: off costs nothing, not even an import; on, nothing that is wrong with them is in an order's way."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from structlog.testing import capture_logs

from domain.decision import Stage
from domain.evidence import ClockRanOut
from domain.order import parse_order
from domain.tracing import OFF
from tests.otlp import Collector
from workers.engine import Step
from workers.intake.tracing import add_traced
from workers.store.intake import Added
from workers.store.judging import Judgement
from workers.telemetry import spans
from workers.telemetry.sampling import read_sampler
from workers.telemetry.traces import are_wanted, open_traces, secrets_of

TRACE_ID, SPAN_ID = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SAMPLED, UNSAMPLED = (f"00-{TRACE_ID}-{SPAN_ID}-{flags}" for flags in ("01", "00"))
CHILD = """
import sys
{before}
import json, os
from workers import bootstrap
import workers.queue.lifespan, workers.queue.tasks, workers.web.process
from structlog.testing import capture_logs
with capture_logs() as logs:
    traces = bootstrap.open_traces(os.environ, "1")
tracing = ("opentelemetry.sdk.trace", "opentelemetry.exporter", "opentelemetry.proto")
loaded = [name for name in sys.modules if name.startswith(tracing)]
print(json.dumps([traces.tracer.is_on, len(traces.observers), loaded, logs]))
"""


@pytest.fixture(autouse=True)
def no_thread_is_left():
    """One that goes on trying to send draws from ``random``, which Hypothesis then finds changed in another test."""
    before = set(threading.enumerate())
    yield
    for thread in set(threading.enumerate()) - before:
        thread.join(60)
        assert not thread.is_alive(), thread.name


@pytest.fixture
def collector(monkeypatch):
    with Collector() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        yield collector


def child(tmp_path, before="", **environment):
    """What a process of ours says whose environment this is."""
    given = {"PATH": "/usr/bin", "INVOICES_HOME": str(tmp_path), **environment}
    ran = subprocess.run(
        [sys.executable, "-c", CHILD.format(before=before)], env=given, capture_output=True, text=True, check=True
    )
    return json.loads(ran.stdout.splitlines()[-1])


def test_a_process_that_was_not_asked_for_spans_never_imports_what_makes_them(tmp_path):
    """Where the extra is installed redis-py imports OpenTelemetry's metrics by itself, and leaves them alone."""
    assert child(tmp_path) == [False, 0, [], []]


def test_without_the_extra_one_warning_says_what_to_install_and_the_process_goes_on(tmp_path):
    before = "sys.modules['opentelemetry'] = None"
    is_on, observers, loaded, logs = child(tmp_path, before, OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9")
    assert (is_on, observers, loaded) == (False, 0, [])
    (told,) = logs
    assert (told["log_level"], told["event"]) == ("warning", "traces.not_installed")
    assert told["install"] == "pip install 'invoices[otel]'"


@pytest.mark.parametrize(
    ("environ", "wanted"),
    [
        ({}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": " "}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://h"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://h/v1/traces"}, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://h", "OTEL_SDK_DISABLED": "TRUE"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://h", "OTEL_TRACES_EXPORTER": "none"}, False),
    ],
)
def test_the_standard_variables_say_whether(environ, wanted):
    assert are_wanted(environ) is wanted


def test_an_exporters_keys_and_passwords_are_secrets():
    environ = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://me:pass%20word@collector:4318",
        "OTEL_EXPORTER_OTLP_HEADERS": "api-key=a%2Bkey, x-team=payments",
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://[nonsense",
        "SOME_HEADERS": "a=b",
    }
    assert set(secrets_of(environ)) == {"pass%20word", "pass word", "a+key", "payments"}


def test_by_default_one_trace_in_a_hundred_is_recorded_and_what_parents_decided_holds():
    assert described({}) == ("ParentBased{root:TraceIdRatioBased{0.01}", 0.01)
    named = {"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.5"}
    assert described(named) == ("TraceIdRatioBased{0.5}", 0.5)
    assert described({"OTEL_TRACES_SAMPLER_ARG": "0.2"}) == ("ParentBased{root:TraceIdRatioBased{0.2}", 0.2)
    assert described({"OTEL_TRACES_SAMPLER": "traceidratio"}) == ("TraceIdRatioBased{1.0}", 1.0)
    assert described({"OTEL_TRACES_SAMPLER": "parentbased_always_off"})[1] == 0.0
    assert described({"OTEL_TRACES_SAMPLER": "always_on"})[1] == 1.0


def described(environ):
    """The sampler's own words, of what it begins with; and the share of new traces."""
    sampler, share = read_sampler(environ)
    return sampler.get_description().partition(",")[0], share._share


@pytest.mark.parametrize(
    ("name", "value"), [("SAMPLER", "sometimes"), ("SAMPLER_ARG", "many"), ("SAMPLER_ARG", "2"), ("SAMPLER_ARG", "nan")]
)
def test_a_sampler_that_there_is_not_is_a_warning_and_no_spans(collector, monkeypatch, name, value):
    monkeypatch.setenv(f"OTEL_TRACES_{name}", value)
    with capture_logs() as logs:
        traces = open_traces({"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url}, "1")
    assert traces.tracer is OFF
    assert [line["event"] for line in logs] == ["traces.off"]
    assert f"OTEL_TRACES_{name} must be" in logs[0]["error"]


def test_a_recorded_step_is_its_orders_trace_from_then_on(collector):
    tracer, _, close = spans.open_spans("1")
    span = tracer.begin("order.take", f"{SAMPLED} a=1", {"account": "shop", "nothing": None}, kind="server")
    trace = span.trace or ""
    assert trace.startswith(f"00-{TRACE_ID}-")
    assert trace.endswith("-01 a=1")
    span.end({"outcome": "accepted"}, error="timeout")
    close()
    (kept,) = collector.spans
    assert trace.split("-")[2] == kept.span_id
    assert (kept.trace_id, kept.parent, kept.error) == (TRACE_ID, SPAN_ID, "timeout")
    assert kept.attributes == {"invoices.account": "shop", "invoices.outcome": "accepted"}


def test_a_step_that_is_not_recorded_passes_on_what_came_in(collector):
    tracer, _, close = spans.open_spans("1")
    span = tracer.begin("order.take", UNSAMPLED, is_first=True)
    span.end()
    assert span.trace == UNSAMPLED
    assert tracer.begin("provider.create", None).trace is None
    close()
    assert collector.spans == []


def test_orders_are_stored_with_the_traces_of_their_own_steps(collector, monkeypatch):
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_on")
    tracer, _, close = spans.open_spans("1")
    orders = [(parse_order({"account": "shop", "order_id": name}), "nebulox") for name in ("1", "2")]
    kept: list[str] = []

    def add(traced):
        kept.extend(order.trace or "" for order, _ in traced)
        return [Added("1", "accepted", "inv_1"), Added("2", "refused", None, "no")]

    add_traced(tracer, add, orders, "message")
    with pytest.raises(OSError, match="away"):
        add_traced(tracer, _fail, orders[:1], "http")
    close()
    taken = {one.span_id: one for one in collector.named("order.take")}
    assert [taken[trace.split("-")[2]].attributes["invoices.outcome"] for trace in kept] == ["accepted", "refused"]
    assert sorted(one.error or "" for one in taken.values()) == ["", "", "OSError"]


def _fail(_):
    raise OSError("away")


def test_a_batch_is_recorded_where_an_order_of_a_recorded_trace_is_in_it(collector, monkeypatch):
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", "0")
    _, observer, close = spans.open_spans("1")
    for trace in (None, UNSAMPLED, SAMPLED):
        rows = [Judgement("inv_1", ClockRanOut(), trace=trace), Judgement("inv_2", ClockRanOut())]
        observer.handled(Step.COMMIT, Stage.CREATE, None, rows, 0.5)
    close()
    (kept,) = collector.spans
    assert (kept.name, kept.parent, kept.links) == ("create.commit", "", [(TRACE_ID, SPAN_ID)])
    assert kept.attributes == {"invoices.stage": "create", "invoices.rows": 2}


def test_a_collector_that_is_away_is_a_line_in_the_log_and_nothing_waits_for_it(monkeypatch):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{free.getsockname()[1]}")
        monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "600")
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
        tracer, _, close = spans.open_spans("1")
        with capture_logs() as logs:
            for _ in range(5000):
                tracer.begin("order.take", SAMPLED).end()
            close()
            close()
    assert {line["event"] for line in logs} == {"traces.not_sent"}
    assert len(logs) <= 2
    assert sum(line["spans"] for line in logs) <= 5000


def test_a_process_ends_though_its_collector_never_answers(monkeypatch):
    asked, over = threading.Event(), threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            asked.set()
            over.wait(60)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            """Nothing is printed."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        monkeypatch.setattr(spans, "CLOSE_SECONDS", 0.2)
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{server.server_address[1]}")
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "30")
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "10")
        tracer, _, close = spans.open_spans("1")
        tracer.begin("order.take", SAMPLED).end()
        assert asked.wait(60)
        with capture_logs() as logs:
            close()
        assert [line["event"] for line in logs] == ["traces.not_sent"]
        assert not over.is_set()  # it is still waited for by nobody but its own thread
    finally:
        over.set()
        server.shutdown()
        server.server_close()
        thread.join()
