"""What spans cost a worker: each stage with one order in a hundred recorded, and without any, in turns."""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Callable, Iterator

from domain.decision import Stage
from domain.tracing import OFF, Tracer
from tests.bench.ground import Ground, add_orders
from tests.bench.http_rows import Opener, deliver_work, make_events, provider_work, run_stage
from tests.bench.results import Row
from tests.otlp import Collector
from workers.engine import EngineLog, Observer, Observers
from workers.store.store import Store
from workers.telemetry.spans import open_spans

MOST = 1.05  #: with spans, over without
RECORDED = f"00-{'a' * 32}-{'b' * 16}-01"
VARIABLE = "OTEL_EXPORTER_OTLP_ENDPOINT"
Prepare = Callable[[Store, Tracer], None]
Open = Callable[[Store, Observer, Tracer], Opener]


@contextlib.contextmanager
def recording() -> Iterator[tuple[Tracer, Observer]]:
    """As by default: one in a hundred. What the collector does is counted too: it is in this process."""
    with Collector() as collector:
        os.environ[VARIABLE] = collector.url
        tracer, observer, close = open_spans("bench")
        try:
            yield tracer, Observers(EngineLog(), observer)
        finally:
            close()
            del os.environ[VARIABLE]


def stage_row(ground: Ground, name: str, prepare: Prepare, opener: Open) -> Row:
    """One stage."""
    count = ground.sizes.calls

    def cpu_ms(tracer: Tracer, observer: Observer) -> float:
        cpu: list[float] = []
        with ground.store() as store:
            prepare(store, tracer)
            run_stage(store, opener(store, observer, tracer), count, cpu, observer=observer)
        return cpu[0]

    def recorded() -> float:
        with recording() as (tracer, observer):
            return cpu_ms(tracer, observer)

    what = f"CPU of {name.upper()}, with spans of 1 %"
    row = Row(f"traces-{name}", what, "without spans", "CPU-ms each", MOST, better="less")
    row.run(ground.sizes.rounds, recorded, lambda: cpu_ms(OFF, Observers(EngineLog())))
    return row


def all_rows(ground: Ground) -> list[Row]:
    """Where most of a worker's CPU goes."""
    count, account = ground.sizes.calls, ground.account(100)
    with recording() as (tracer, _):  # what is imported with the first spans is paid for once
        tracer.begin("warm-up", RECORDED).end()

    def create_deliveries(store: Store, tracer: Tracer) -> None:
        ground.subscribe(store)
        make_events(store, count, tracer)

    return [
        stage_row(
            ground,
            "create",
            lambda store, tracer: add_orders(store, count, tracer=tracer),
            lambda store, observer, tracer: provider_work(ground, store, Stage.CREATE, account, observer, tracer),
        ),
        stage_row(
            ground,
            "deliver",
            create_deliveries,
            lambda store, observer, tracer: deliver_work(ground, store, observer, tracer),
        ),
    ]


def rows(ground: Ground) -> dict[str, Callable[[], list[Row]]]:
    """By key."""
    return {"traces": functools.partial(all_rows, ground)}
