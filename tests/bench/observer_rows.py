"""What metrics cost a worker: each stage with and without them in turns, and what is told to them by itself."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from typing import Any

from domain.decision import Stage
from tests.bench.ground import Ground, add_orders
from tests.bench.http_rows import Opener, deliver_work, make_events, provider_work, run_stage
from tests.bench.results import Row
from workers.engine import EngineLog, Observer, Observers
from workers.store.store import Store
from workers.telemetry.listener import MetricsListener
from workers.telemetry.metrics import Metrics
from workers.telemetry.tally import WorkTally

MOST = 1.02  #: with metrics, over without
MOST_ITSELF = 0.02  #: of the stage's CPU
REPLAYS = 20  #: of what was told in one run: a few milliseconds are less than the kernel counts exactly
Prepare = Callable[[Store], None]
Open = Callable[[Store, Observer], Opener]


class Recorder(Observer):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, tuple[Any, ...]]] = []

    def __getattribute__(self, name: str) -> Any:
        if name not in vars(Observer) or name.startswith("_"):
            return object.__getattribute__(self, name)
        return lambda *what: self.told.append((name, what))


def with_metrics() -> Observer:
    """As a worker has it."""
    return Observers(Observers(EngineLog(), MetricsListener(Metrics("bench"))), WorkTally())


def without_metrics() -> Observer:
    """The log alone."""
    return Observers(EngineLog())


def stage_rows(ground: Ground, name: str, prepare: Prepare, opener: Open) -> list[Row]:
    """One stage."""
    count = ground.sizes.calls

    def cpu_ms(observer: Observer) -> float:
        cpu: list[float] = []
        with ground.store() as store:
            prepare(store)
            run_stage(store, opener(store, observer), count, cpu, observer=observer)
        return cpu[0]

    what, unit = f"CPU of {name.upper()}, with metrics", "CPU-ms each"
    row = Row(f"observability-{name}", what, "without metrics", unit, MOST, better="less")
    row.run(ground.sizes.rounds, lambda: cpu_ms(with_metrics()), lambda: cpu_ms(without_metrics()))
    itself = Row(f"observability-{name}-itself", f"what {name.upper()} tells, counted", "the stage", unit, MOST_ITSELF)
    itself.better = "less"
    for whole in row.theirs:
        recorder = Recorder()
        cpu_ms(recorder)
        itself.ours.append(_counted_ms(recorder) / count)
        itself.theirs.append(whole)
    return [row, itself]


def _counted_ms(recorder: Recorder) -> float:
    """CPU-milliseconds of counting what was told once, without telling the log of it."""
    observer = Observers(MetricsListener(Metrics("bench")), WorkTally())
    begun = time.process_time()
    for _ in range(REPLAYS):
        for name, what in recorder.told:
            getattr(observer, name)(*what)
    return (time.process_time() - begun) / REPLAYS * 1000


def all_rows(ground: Ground) -> list[Row]:
    """Where most of a worker's CPU goes."""
    count, account = ground.sizes.calls, ground.account(100)

    def create_deliveries(store: Store) -> None:
        ground.subscribe(store)
        make_events(store, count)

    return [
        *stage_rows(
            ground,
            "create",
            lambda store: add_orders(store, count),
            lambda store, observer: provider_work(ground, store, Stage.CREATE, account, observer),
        ),
        *stage_rows(
            ground, "deliver", create_deliveries, lambda store, observer: deliver_work(ground, store, observer)
        ),
    ]


def rows(ground: Ground) -> dict[str, Callable[[], list[Row]]]:
    """By key."""
    return {"observability": functools.partial(all_rows, ground)}
