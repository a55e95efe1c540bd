"""Real Celery processes: orders in, the whole way against the hand-written app, more processes, memory, SQLite."""

from __future__ import annotations

import contextlib
import math
import os
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from sqlmodel import SQLModel, create_engine

from tests.bench import noop
from tests.bench.ground import ROOT, SECRET, Ground
from tests.bench.processes import Processes, broker_lengths, creates, drain_rate, lists, ours, push, wait_until
from tests.bench.results import Row
from tests.bench.sql_rows import bare_insert, open_ones
from workers.embedded.procfile import read_procfile
from workers.store.database import Database
from workers.store.endpoints import MAX_IN_FLIGHT
from workers.store.store import Store

INTAKE = "invoices.intake"
WORK = "invoices.work"
SHOP = "shop"


class Pool(NamedTuple):
    """How Celery runs the hand-written app: the kind of pool, its size, and how many such processes."""

    kind: str
    size: int
    processes: int


#: The best of those that `python -m tests.bench.pools` tries; figures in tests/bench/handwritten/README.md.
SHOP_POOL = Pool("threads", 8, 3)
#: Calls at a time of each of our workers on the whole way, to the provider and to the receiver. At 200 the account's
#: slots were the limit, not the machine: a slot that has come free waits some 30 ms for the next claim.
AT_A_TIME = 400
#: Ours are so many times as many on the whole way: the first comes out after 0.4 s, which is to weigh little on both
#: sides, and theirs is not to last for minutes.
OURS_LONGER = 3


def intake_row(ground: Ground) -> Row:
    """A message an order, one intake process, against Celery doing nothing with the same settings."""
    count = ground.sizes.messages
    row = Row("intake", "intake by invoices.create", "Celery no-op tasks, the same settings", "messages/s", 0.6)
    with ground.database_url() as url, ours(ground, url, "intake") as processes, no_ops(ground, processes):
        return row.run(
            ground.sizes.rounds,
            lambda: drain_rate(ground.redis, INTAKE, creates(count, "invoices.create", INTAKE), count),
            lambda: drain_rate(ground.redis, noop.QUEUE, creates(count, noop.TASK, noop.QUEUE), count),
        )


@contextlib.contextmanager
def no_ops(ground: Ground, processes: Processes) -> Iterator[None]:
    """A worker of no-op tasks beside the intake: the Procfile's own line with another app and queue."""
    line = next(spec.argv for spec in read_procfile(ROOT / "Procfile") if spec.name == "intake")
    changes = {"workers.app": "tests.bench.noop", INTAKE: noop.QUEUE, "intake@%h": "noop@%h"}
    processes.start("noop", [changes.get(part, part) for part in line], b" ready.")
    yield


def intake_many_row(ground: Ground) -> Row:
    """Lists of 500 orders by message, one intake process, against bare INSERTs of the same rows."""
    count = ground.sizes.lists * 500
    what, against = "intake by invoices.create_many, 500 a list", "bare INSERT of the same rows, arrays of 500"
    row = Row("intake-many", what, against, "orders/s", 0.3)
    with ground.database_url() as url, ours(ground, url, "intake"):
        return row.run(
            ground.sizes.rounds,
            lambda: drain_rate(ground.redis, INTAKE, lists(count, "invoices.create_many", INTAKE), count),
            lambda: bare_insert(ground, count),
        )


# ---------------------------------------------------------------- the whole way


def whole_row(ground: Ground, kind: str, goal: float) -> Row:
    """Published -> provider called -> stored -> signed webhook answered 2xx."""
    count, make = ground.sizes.whole, lists if kind == "create_many" else creates
    our_count = count * OURS_LONGER
    what = f"whole way by {kind}, 100 ms stand-in, 2 workers"
    row = Row(f"whole-{kind.replace('_', '-')}", what, "the hand-written app", "invoices/s", goal)
    with contextlib.ExitStack() as stack:
        our_url, shop_url = (stack.enter_context(ground.database_url()) for _ in range(2))
        subscribe(ground, our_url, AT_A_TIME)
        processes = stack.enter_context(
            ours(ground, our_url, "intake", "worker", "worker2", "beat", max_in_flight=AT_A_TIME)
        )
        by_hand = stack.enter_context(shop(ground, shop_url))
        for queue, task in ((INTAKE, f"invoices.{kind}"), (SHOP, f"shop.{kind}")):  # first calls, first connections
            whole_rate(ground, queue, make(min(count, 200), task, queue), min(count, 200))
        cpu_ms: dict[str, list[float]] = {}

        def go(side: Processes, queue: str, task: str, count: int) -> float:
            return _metered_rate(ground, side, queue, make(count, task, queue), count, cpu_ms)

        row.run(
            ground.sizes.rounds,
            lambda: go(processes, INTAKE, f"invoices.{kind}", our_count),
            lambda: go(by_hand, SHOP, f"shop.{kind}", count),
        )
    row.cpu_ms = {name: round(statistics.median(used), 3) for name, used in cpu_ms.items()}
    row.note = f"{our_count:,} and {count:,} invoices; ours: {AT_A_TIME} calls at a time, each worker"
    return row


def _metered_rate(
    ground: Ground, side: Processes, queue: str, messages: Sequence[bytes], count: int, cpu_ms: dict[str, list[float]]
) -> float:
    """``whole_rate``; ``cpu_ms`` learns what each kind of the side's processes needed for an invoice meanwhile."""
    before = side.cpu_seconds()
    rate = whole_rate(ground, queue, messages, count)
    for name, now in side.cpu_seconds().items():
        cpu_ms.setdefault(name, []).append((now - before[name]) / count * 1000)
    return rate


def whole_rate(ground: Ground, queue: str, messages: Sequence[bytes], count: int) -> float:
    """Invoices a second, from the first message to the last webhook's answer."""
    ground.ask("reset", "POST")
    start = time.time()
    push(ground.redis, queue, messages)
    wait_until(lambda: ground.ask("stats")["hooks"] >= count, f"{count} webhooks came")
    return float(count / (ground.ask("stats")["last_hook_at"] - start))


@contextlib.contextmanager
def shop(ground: Ground, url: str, pool: Pool = SHOP_POOL) -> Iterator[Processes]:
    """The hand-written app, on a database of its own."""
    environment = {
        "SHOP_BROKER_URL": ground.valkey.broker_url,
        "SHOP_DATABASE_URL": url,
        "SHOP_PROVIDER_URL": ground.provider_url(100),
        "SHOP_HOOK_URL": ground.hook_url,
        "SHOP_SECRET": SECRET,
    }
    os.environ.update(environment)
    from tests.bench.handwritten.app import ShopInvoice, ShopWebhook

    engine = create_engine(url)
    tables: Any = (ShopInvoice, ShopWebhook)
    SQLModel.metadata.create_all(engine, tables=[table.__table__ for table in tables])
    engine.dispose()
    with Processes(ground.folder / "shop", environment) as processes:
        for number in range(pool.processes):
            argv = ["celery", "-q", "-A", "tests.bench.handwritten.app", "worker", "-Q", SHOP]
            argv += ["-P", pool.kind, "-c", str(pool.size)]
            name = f"shop{number}"
            processes.start(name, [*argv, "-n", f"{name}@%h", "--without-mingle", "--without-gossip"], b" ready.")
        yield processes


def subscribe(ground: Ground, url: str, max_in_flight: int = MAX_IN_FLIGHT) -> None:
    """An endpoint in a database that processes will use."""
    store = Store(Database(url, pool_size=1), {}, lambda _: None)
    ground.subscribe(store, max_in_flight)
    store.close()


# ---------------------------------------------------------------- more processes, memory


def scaling_row(ground: Ground) -> Row:
    """Four worker processes against one where the waiting is all there is."""
    row = Row("scaling", "4 worker processes, 1 s stand-in", "1 worker process", "invoices/s", 3.2)
    count = ground.sizes.slow

    def rate(workers: int) -> float:
        with ground.database_url() as url:
            subscribe(ground, url)
            names = [f"worker{number + 1}" for number in range(workers)]
            with ours(ground, url, "intake", *names, "beat", delay_ms=1000):
                warm, total = 20 * workers, count * workers
                whole_rate(ground, INTAKE, lists(warm, "invoices.create_many", INTAKE), warm)
                return whole_rate(ground, INTAKE, lists(total, "invoices.create_many", INTAKE), total)

    return row.run(min(ground.sizes.rounds, 3), lambda: rate(4), lambda: rate(1))


def memory_rows(ground: Ground) -> list[Row]:
    """A worker that has done the same work, with many open invoices and with none; messages left in the broker."""
    among, work = ground.sizes.open_many, ground.sizes.slow
    row = Row("memory", f"memory a worker needs for {among:,} open invoices", "none open", "MiB more", 10, "less")
    left = Row("memory-broker", f"messages in the broker with {among:,} open invoices", "", "messages", 0, "less")

    def memory(open_invoices: int) -> float:
        with ground.database_url(open_ones(open_invoices) if open_invoices else None) as url:
            subscribe(ground, url)
            with ours(ground, url, "intake", "worker", "beat") as processes:
                whole_rate(ground, INTAKE, lists(work, "invoices.create_many", INTAKE), work)
                time.sleep(3)  # a few idle sweeps
                if open_invoices:
                    left.ours.append(_messages(ground))
                return processes.memory_mib("worker")

    row.run(min(ground.sizes.rounds, 3), lambda: memory(among) - memory(0))
    return [row, left]


def _messages(ground: Ground) -> float:
    """Messages that stay in the broker: a bell or a sweep on its way is gone at one of the next looks."""
    least = math.inf
    for _ in range(20):
        least = min(least, sum(broker_lengths(ground).values()))
        time.sleep(0.05)
    return least


def rows(ground: Ground) -> dict[str, Callable[[], Row | list[Row]]]:
    """By key."""
    return {
        "intake": lambda: intake_row(ground),
        "intake-many": lambda: intake_many_row(ground),
        "whole-create-many": lambda: whole_row(ground, "create_many", 10),
        "whole-create": lambda: whole_row(ground, "create", 6),
        "scaling": lambda: scaling_row(ground),
        "memory": lambda: memory_rows(ground),
    }
