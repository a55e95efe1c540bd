"""What grows with the tables: ``python -m tests.bench.large``. The same work with more and more orders in PostgreSQL.

A database for each size, on a server of its own or on ``--server``, where it stays and a filling that was broken off
goes on. Then orders are taken in, claimed and judged, told, listed, searched and removed, by turns in all of them, and
compared with the smallest. Last come what an order writes, by table.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import psycopg
from sqlalchemy.engine import make_url

from tests.bench.large.filling import fill
from tests.bench.large.report import COUNTED, Measured, grown, page, tables
from tests.bench.large.works import Round
from tests.bench.large.writes import Counting
from tests.bench.results import percentile
from tests.engines import run_postgres
from tests.sizing.load import load, open_store
from tests.sizing.tables import weigh
from workers.store.schema import upgrade
from workers.store.store import Store

SERVER = {
    "shared_buffers": "1GB",
    "max_wal_size": "8GB",
    "checkpoint_timeout": "1h",
    "full_page_writes": "on",
    "wal_level": "minimal",  # filling writes nothing to the WAL
    "max_wal_senders": "0",
    "autovacuum": "off",
}


def main() -> int:
    """1 if something grew by more than the goal."""
    options = _arguments()
    with contextlib.ExitStack() as stack:
        server = options.server or stack.enter_context(run_postgres(SERVER))
        share = round(100 * options.history)
        urls = {size: _database(server, f"large_{size}_{share}") for size in sorted(options.rows)}
        done = all(fill(url, size, options.history, options.fill) for size, url in urls.items())
        if options.fill is not None:
            return 0 if done else 2
        stores = {size: stack.enter_context(contextlib.closing(open_store(url))) for size, url in urls.items()}
        found = measure(stores, options.rounds)
    print("\n".join(tables(found)))
    if options.keep:
        options.keep.write_text(page(found, options.history, options.rounds))
    return 1 if grown(found) else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.large", description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument(
        "--history", type=float, default=0.25, help="share of orders whose events and evidence are kept"
    )
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--keep", type=Path, help="write the tables into this file")
    parser.add_argument("--server", help="a PostgreSQL whose databases stay; otherwise one of its own")
    parser.add_argument("--fill", type=float, metavar="MINUTES", help="only fill, for so long")
    return parser.parse_args()


def _database(server: str, name: str) -> str:
    """The database of that name, with our tables."""
    url = make_url(server)
    plain = url.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(plain, autocommit=True) as connection:
        if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone():
            connection.execute(f"CREATE DATABASE {name} TEMPLATE template0".encode())
    named = url.set(database=name).render_as_string(hide_password=False)
    upgrade(named)
    return named


def measure(stores: Mapping[int, Store], rounds: int) -> list[Measured]:
    """Each thing at each size in turn, so that what else the machine does slows all; the first turn warms up."""
    work = {size: dict(Round(store, rounds).works()) for size, store in stores.items()}
    times: dict[tuple[int, str], list[float]] = defaultdict(list)
    for turn in range(rounds + 1):
        for name in work[min(work)]:
            for size in work if turn % 2 else reversed(work):
                began = time.perf_counter()
                work[size][name]()
                if turn:
                    times[size, name].append((time.perf_counter() - began) * 1000)
    return list(_measured(stores, {size: {name: times[size, name] for name in work[size]} for size in work}))


def _measured(stores: Mapping[int, Store], times: Mapping[int, Mapping[str, Sequence[float]]]) -> Iterator[Measured]:
    for size, store in stores.items():
        load(store, 1)  # what the rounds have left to tell and to send
        counting = Counting(store)
        load(store, COUNTED)
        medians = {name: percentile(taken, 0.5) for name, taken in times[size].items()}
        yield Measured(size, sum(one.total for one in weigh(store)) / 1e9, medians, counting.written(COUNTED))


if __name__ == "__main__":
    sys.exit(main())
