"""`make soak`: the whole system at half of its capacity for half an hour; memory, bloat and latency must stay flat.

Every invoice expires after a minute, so that as many are open at the end as at the beginning, and events of the day
before become old enough for the retention at the very rate at which new ones come: tables turn over, they don't fill.
Invoices themselves are kept, here as in production: their table grows, and is judged by what a row takes up.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import sys
import threading
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from psycopg.errors import DeadlockDetected
from rich.console import Console
from rich.table import Table

from tests.bench.ground import Ground, open_store, order_fields, plain, settle_down
from tests.bench.latency_rows import timed_order
from tests.bench.process_rows import INTAKE, subscribe
from tests.bench.processes import message, ours, push, wait_until
from tests.bench.report import number
from tests.bench.results import FOLDER, commit, machine, write_json
from tests.bench.sizes import chosen
from tests.bench.soak_plot import plot
from tests.bench.soak_samples import LATENCIES, PROCESSES, Sampler, sampler, series_of_minutes, series_of_samples
from tests.bench.soak_verdict import Verdict, judge_all

SAMPLE_SECONDS = 5.0
TICK_SECONDS = 0.02
LIFETIME_SECONDS = 60
EVENTS_EACH = 2  #: made, expired
EMPTYING_TRIES = 5  #: of the tables, while the workers use them
#: The stream is full after a few minutes instead of hours; the rest is as in production.
SETTINGS = {"INVOICES_RETENTION_DAYS": "1", "INVOICES_STREAM_MAXLEN": "20000"}

#: What a system that ran the day before too would have: finished events and what belongs to them, of the same length.
HISTORY = (
    "INSERT INTO event (id, invoice_id, sequence, type, body, created_at, published_at)"
    " SELECT 'evt_h' || n, 'inv_h' || n, 1, 'invoice.pending', convert_to(repeat('x', 1300), 'UTF8'),"
    " now() - interval '1 day' + n * %(step)s::interval, now() FROM generate_series(1, %(count)s) AS n",
    "INSERT INTO delivery (endpoint_id, event_number, invoice_id, sequence, state, tries, created_at, finished_at)"
    " SELECT 'ep_bench', number, invoice_id, 1, 'delivered', 1, created_at, created_at FROM event ORDER BY number",
    "INSERT INTO delivery_attempt (delivery_id, at, outcome, status, latency_ms)"
    " SELECT id, created_at, 'delivered', 200, 3 FROM delivery ORDER BY id",
    "INSERT INTO evidence (invoice_id, at, kind, detail, raw, verdict)"
    " SELECT invoice_id, created_at, 'created', '{}', repeat('x', 80), 'applied' FROM event ORDER BY number",
)


class Load(threading.Thread):
    """Orders at a steady rate, from a thread of its own, until stopped."""

    def __init__(self, ground: Ground, rate: float) -> None:
        super().__init__(name="load", daemon=True)
        self._ground, self._rate, self._run_id = ground, rate, uuid.uuid4().hex[:8]
        self._stopping = threading.Event()
        self.sent = 0

    def run(self) -> None:
        """Send what is due, every few milliseconds; what a pause held up is sent at once after it."""
        start = time.monotonic()
        while not self._stopping.wait(TICK_SECONDS):
            due = int((time.monotonic() - start) * self._rate)
            orders = [timed_order(self._run_id, n, LIFETIME_SECONDS) for n in range(self.sent, due)]
            push(self._ground.redis, INTAKE, orders)
            self.sent = max(self.sent, due)

    def stop(self) -> None:
        """Returns when nothing more is sent."""
        self._stopping.set()
        self.join()


def main() -> int:
    """0: everything judged stayed flat; 1: something grows; 2: too short to tell."""
    parser = argparse.ArgumentParser(prog="make soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--rate", type=float, help="orders a second; default: half of what is measured at the start")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where soak.json and soak.svg are kept")
    options = parser.parse_args()
    console, seconds = Console(), options.minutes * 60
    if not console.is_terminal:
        console = Console(width=150)
    with Ground(chosen()) as ground, ground.database_url() as url:
        subscribe(ground, url)
        with running(ground, url) as processes:
            capacity = 0.0 if options.rate else measure_capacity(ground)
            rate = options.rate or capacity / 2
            console.print(f"{rate:.0f} orders a second for {options.minutes:g} minutes (capacity {capacity:.0f}/s)")
            add_history(url, int(rate * EVENTS_EACH * seconds), 1 / (rate * EVENTS_EACH))
            with sampler(ground, processes, url) as eyes:
                samples, minutes = watch(ground, console, eyes, Load(ground, rate), seconds)
    verdicts = judge_all(series_of_samples(), samples) + judge_all(series_of_minutes(), minutes)
    console.print(table(verdicts))
    asked = {
        "asked_minutes": options.minutes,
        "orders_per_second": round(rate, 1),
        "capacity_per_second": round(capacity, 1),
    }
    keep(options.folder, asked, samples, minutes, verdicts)
    console.print(f"kept in {options.folder / 'soak.json'} and soak.svg")
    if not verdicts:
        return 2
    return 1 if any(verdict.flat is False for verdict in verdicts) else 0


@contextlib.contextmanager
def running(ground: Ground, url: str) -> Iterator[Any]:
    """The Procfile's processes and another worker."""
    with ours(ground, url, *PROCESSES, **SETTINGS) as processes:
        yield processes


def measure_capacity(ground: Ground) -> float:
    """Invoices a second, made and expired, with both their webhooks: the median of three goes after a first one."""
    count, rates = ground.sizes.whole, list[float]()
    for _ in range(4):
        ground.ask("reset", "POST")
        start, run = time.time(), uuid.uuid4().hex[:8]
        push(ground.redis, INTAKE, [_short_order(f"{run}-{number}") for number in range(count)])
        wait_until(lambda: ground.ask("stats")["hooks"] >= count * EVENTS_EACH, "both webhooks of all came")
        rates.append(count / (ground.ask("stats")["last_hook_at"] - start))
    return statistics.median(rates[1:])


def _short_order(order_id: str) -> bytes:
    return message("invoices.create", order_fields(order_id) | {"lifetime_minutes": "0.02"}, INTAKE)


def add_history(url: str, count: int, step_seconds: float) -> None:
    """The day before: so many events, that far apart."""
    store = open_store(url)
    for _ in range(EMPTYING_TRIES):  # the workers' locks and these may come crosswise
        with contextlib.suppress(DeadlockDetected), plain(store) as connection:
            connection.execute("TRUNCATE event, delivery, delivery_attempt, evidence, agenda, invoice")
            for statement in HISTORY:
                connection.execute(statement.encode(), {"count": count, "step": f"{step_seconds:.6f} seconds"})
            break
    else:
        raise SystemExit("make soak: the tables could not be emptied, the workers' locks were in the way each time")
    store.add_standing()
    settle_down(store)
    store.close()


Samples = list[dict[str, float]]


def watch(ground: Ground, console: Console, eyes: Sampler, load: Load, seconds: float) -> tuple[Samples, Samples]:
    """Samples every few seconds and a digest a minute; an interrupt ends it early, with what there is."""
    samples, minutes, sent = Samples(), Samples(), 0
    ground.ask("record", "POST")
    start = time.monotonic()
    load.start()
    with contextlib.suppress(KeyboardInterrupt):  # SIGTERM too: Ground makes it one
        while (passed := time.monotonic() - start) < seconds:
            samples.append({"seconds": passed} | eyes.sample())
            if passed >= 60 * (len(minutes) + 1):
                minutes.append({"seconds": passed, "sent": load.sent - sent} | eyes.minute())
                sent = load.sent
                console.print(_line(samples[-1], minutes[-1]))
            time.sleep(max(0.0, SAMPLE_SECONDS - (time.monotonic() - start - passed)))
    load.stop()
    return samples, minutes


def _line(sample: dict[str, float], minute: dict[str, float]) -> str:
    latencies = ", ".join(
        f"{key} {minute.get(f'{key}.p50', 0):.0f}/{minute.get(f'{key}.p99', 0):.0f}" for key in LATENCIES
    )
    return (
        f"{minute['seconds'] / 60:4.0f} min: {minute['sent']:.0f} orders, p50/p99 ms: {latencies}; open "
        f"{sample['open']:.0f}; worker {sample['worker.rss']:.0f} MiB; agenda {sample['agenda.dead']:.0f} dead, "
        f"{sample['agenda.heap'] + sample['agenda.indexes']:.1f} MiB; in the broker {sample['broker.messages']:.0f}"
    )


def table(verdicts: Sequence[Verdict]) -> Table:
    """A line a figure."""
    shown = Table(title="make soak: the last fifth against the second", title_justify="left")
    shown.add_column("what", overflow="fold")
    for name in ("unit", "2nd fifth", "last fifth", "an hour", "allowed", "verdict"):
        shown.add_column(name, justify="right")
    for one in verdicts:
        allowed = f"+{one.series.share:.0%} +{number(one.series.floor)}" if one.series.judged else ""
        colour = {None: "", True: "[green]", False: "[red]"}[one.flat]
        figures = number(one.second), number(one.last), f"{one.slope:+.3g}", allowed
        shown.add_row(one.series.what, one.series.unit, *figures, f"{colour}{one.word}")
    return shown


def keep(
    folder: Path, asked: Mapping[str, float], samples: Samples, minutes: Samples, verdicts: Sequence[Verdict]
) -> None:
    """The verdicts, a sample a minute and the minutes' latencies, as JSON and as a picture."""
    every = max(1, round(60 / SAMPLE_SECONDS))
    document = {
        "machine": machine(),
        "commit": commit(),
        "minutes": round(samples[-1]["seconds"] / 60, 1) if samples else 0,
        **asked,
        "early_expiries": sum(minute["early"] for minute in minutes),
        "verdicts": {
            one.series.key: {
                "what": one.series.what,
                "unit": one.series.unit,
                "second_fifth": round(one.second, 2),
                "last_fifth": round(one.last, 2),
                "per_hour": round(one.slope, 3),
                "verdict": one.word,
            }
            for one in verdicts
        },
        "samples": [_rounded(sample) for sample in samples[::every]],
        "latencies": [_rounded(minute) for minute in minutes],
    }
    write_json(folder / "soak.json", document)
    plot(samples, minutes, folder / "soak.svg")


def _rounded(values: dict[str, float]) -> dict[str, float]:
    return {key: round(value, 1) for key, value in values.items()}


if __name__ == "__main__":
    sys.exit(main())
