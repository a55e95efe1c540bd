"""What grows with the tables: ``python -m tests.bench.large``. The same work with more and more orders in PostgreSQL.

Fills a database for each size, on a server of its own: one day by the store's own functions, every other one a copy of
it, made by the server (``tests/sizing``). Then it takes orders in, claims and judges them, lists, searches and removes
what is old, by turns in all of them, and compares with the smallest. An order takes some 10 KB of disk;
``--rows 100000 1000000 10000000`` takes hours.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path

from sqlalchemy import text

from domain.decision import Stage
from domain.evidence import Evidence
from domain.status import Status
from tests.bench.results import percentile
from tests.engines import new_postgres_database, run_postgres
from tests.sizing.load import ACCOUNT, BATCH, created, load, open_store, seen, take
from tests.sizing.tables import COPIED, add_day, keep_day, run_alone, weigh
from workers.store.judging import Judgement
from workers.store.reads.invoices import page_of_invoices
from workers.store.reads.search import search
from workers.store.schema import upgrade
from workers.store.store import Store

SERVER = {"shared_buffers": "256MB", "max_wal_size": "8GB", "autovacuum": "off"}
DAY = 2_000  #: orders
PAGE, SOME = 50, 100
GOAL = 1.3
WRITTEN = "SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')"
DEAD = "SELECT coalesce(sum(n_dead_tup), 0) FROM pg_stat_user_tables"
#: What becomes of the orders that were taken in last.
STEPS: Mapping[str, Callable[[int], Evidence]] = {
    f"{SOME} creates judged": created,
    f"{SOME} payments judged": partial(seen, Status.PAID),
}


@dataclass(frozen=True, slots=True)
class Measured:
    """At one size. ``medians``: milliseconds, by what was done."""

    rows: int
    gigabytes: float
    medians: Mapping[str, float]
    wal_bytes: int  #: an order, full pages after a checkpoint included
    dead_rows: float  #: that an order leaves behind


def main() -> int:
    """1 if something grew by more than the goal."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.large", description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--json", type=Path, help="write the figures here")
    options = parser.parse_args()
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(run_postgres(SERVER))
        stores = {size: stack.enter_context(filled(server, size)) for size in sorted(options.rows)}
        found = measure(stores, options.rounds)
    if options.json:
        options.json.write_text(json.dumps([asdict(one) for one in found], indent=1) + "\n")
    return show(found)


@contextlib.contextmanager
def filled(server: str, size: int) -> Iterator[Store]:
    """A database of its own with so many orders."""
    with new_postgres_database(server) as url:
        upgrade(url)
        with contextlib.closing(open_store(url)) as store:
            fill(store, size)
            yield store


def fill(store: Store, size: int) -> None:
    """Days until today, each like the first, the oldest first: rows are numbered in the order of their times."""
    began = time.monotonic()
    load(store, min(DAY, size))
    run_alone(store, "DELETE FROM agenda WHERE stage NOT IN ('publish', 'retain')")
    keep_day(store)
    run_alone(store, f"TRUNCATE {', '.join(COPIED)}, delivery, delivery_attempt, event_position")
    for day in reversed(range(max(1, size // DAY))):
        add_day(store, day, day)
    run_alone(store, *(f"DROP TABLE day_{name}" for name in COPIED), "VACUUM (ANALYZE)", "CHECKPOINT")
    print(f"{size:,} orders after {time.monotonic() - began:.0f} s", file=sys.stderr)


def measure(stores: Mapping[int, Store], rounds: int) -> list[Measured]:
    """Each thing at each size in turn, so that what else the machine does slows all; the first turn warms up."""
    work = {size: dict(works(store, rounds)) for size, store in stores.items()}
    times: dict[tuple[int, str], list[float]] = defaultdict(list)
    for turn in range(rounds + 1):
        for name in work[min(work)]:
            for size in work:
                began = time.perf_counter()
                work[size][name]()
                if turn:
                    times[size, name].append((time.perf_counter() - began) * 1000)
    return [
        _told_of(stores[size], size, {name: percentile(times[size, name], 0.5) for name in work[size]}) for size in work
    ]


def _told_of(store: Store, size: int, medians: Mapping[str, float]) -> Measured:
    gigabytes = sum(one.total for one in weigh(store)) / 1e9
    return Measured(size, gigabytes, medians, *of_orders(store))


def works(store: Store, rounds: int) -> Iterator[tuple[str, Callable[[], object]]]:
    """By name, in the order in which an order goes through them."""
    ids: list[str] = []
    yield f"{SOME} orders taken in", lambda: ids.extend(take(store, SOME))
    yield f"{SOME} claimed with their invoices", partial(store.claim_invoices, Stage.CREATE, ACCOUNT, SOME, 3600)
    for name, say in STEPS.items():
        yield name, partial(_judge_newest, store, ids, say)
    yield "the newest page", partial(store.database.read, page_of_invoices, limit=PAGE)
    yield "a page by status", partial(store.database.read, page_of_invoices, status="expired", limit=PAGE)
    for column in ("id", "order_id", "provider_ref", "address"):
        yield f"a search by {column}", partial(_search_next, store, _names(store, column, rounds + 1))
    yield "a batch removed by retention", partial(store.remove_finished, timedelta(days=1))


def _judge_newest(store: Store, ids: Sequence[str], say: Callable[[int], Evidence]) -> None:
    store.judge([Judgement(one, say(number)) for number, one in enumerate(ids[-SOME:])])


def _search_next(store: Store, names: list[str]) -> None:
    if store.database.read(search, names.pop()) is None:
        raise RuntimeError("an order that is there was not found")


def _names(store: Store, column: str, count: int) -> list[str]:
    query = text(f"SELECT {column} FROM invoice WHERE {column} IS NOT NULL ORDER BY md5(id) LIMIT :count")
    with store.database.reading() as connection:
        return list(connection.execute(query, {"count": count}).scalars())


def of_orders(store: Store) -> tuple[int, float]:
    """Bytes of WAL that an order writes, from the intake to its webhook, and rows that it leaves dead."""
    run_alone(store, "CHECKPOINT", "SELECT pg_stat_force_next_flush()")
    wal, dead = _told(store, WRITTEN), _told(store, DEAD)
    load(store, BATCH)
    run_alone(store, "SELECT pg_stat_force_next_flush()")
    return round((_told(store, WRITTEN) - wal) / BATCH), round((_told(store, DEAD) - dead) / BATCH, 2)


def _told(store: Store, query: str) -> float:
    with store.database.reading() as connection:
        return float(connection.execute(text(query)).scalar_one())


def show(found: Sequence[Measured]) -> int:
    """A table in Markdown; 1 if anything takes longer than the goal times what it took at the first size."""
    first, grown = found[0], []
    print("\n| ms, the median |" + "".join(f" {one.rows:,} orders, {one.gigabytes:.1f} GB |" for one in found))
    print("|---|" + "--:|" * len(found))
    for name, before in first.medians.items():
        factors = [one.medians[name] / before for one in found]
        shown = (f" {one.medians[name]:.2f} ({times:.2f}) |" for one, times in zip(found, factors, strict=True))
        print(f"| {name} |" + "".join(shown))
        grown += [name] if max(factors) > GOAL else []
    print("| bytes of WAL an order |" + "".join(f" {one.wal_bytes:,} |" for one in found))
    print("| dead rows an order |" + "".join(f" {one.dead_rows} |" for one in found))
    print(f"\nabove {GOAL} times: {', '.join(grown) or 'nothing'}")
    return 1 if grown else 0


if __name__ == "__main__":
    sys.exit(main())
