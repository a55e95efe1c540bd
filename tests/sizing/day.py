"""``python -m tests.sizing.day``: does autovacuum keep up? Days of 100,000 orders, at a fiftieth of the size.

90 days are in the tables. Each hour of the day its orders come in, are told, delivered and end, and retention removes
as many old ones. An hour takes a few seconds here. The base thresholds of autovacuum are a fiftieth too; its shares of
a table are what they are. It looks once a second, which is once in many minutes of the day, and vacuums at the
machine's pace tables that are only fifty times smaller: in both it has less time than in life.
"""

from __future__ import annotations

import argparse
import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import NamedTuple

from sqlalchemy import text

from tests.bench.large.filling import fill
from tests.engines import new_postgres_database, run_postgres
from tests.sizing.load import load, open_store
from tests.sizing.tables import ADVISED, run_alone, statements, weigh
from workers.store.schema import upgrade
from workers.store.store import Store

SCALE, A_DAY, KEPT = 50, 100_000, 90
SERVER = {
    "shared_buffers": "256MB",
    "max_wal_size": "4GB",
    "autovacuum_naptime": "1s",
    "autovacuum_vacuum_threshold": "1",  # 50
    "autovacuum_vacuum_insert_threshold": str(1000 // SCALE),
}
#: As the first migration has it, scaled as well.
AGENDA = f"ALTER TABLE agenda SET (autovacuum_vacuum_threshold = {1000 // SCALE})"
TABLES = "invoice", "event", "evidence", "payment", "delivery", "delivery_attempt", "event_position", "agenda"
_ROWS = text("""
SELECT relname, n_dead_tup, autovacuum_count, greatest(n_live_tup, 1) FROM pg_stat_user_tables
WHERE relname = ANY(:tables)
""")


class Seen(NamedTuple):
    """At the end of an hour, by table: bytes of rows and of indexes, dead rows, and vacuums so far."""

    hour: int
    rows: Mapping[str, int]
    indexes: Mapping[str, int]
    dead: Mapping[str, int]
    vacuums: Mapping[str, int]


def main() -> None:
    """With the defaults, or with the advice; a line for each table."""
    parser = argparse.ArgumentParser(prog="python -m tests.sizing.day", description=__doc__)
    parser.add_argument("--hours", type=int, default=48)
    parser.add_argument("--defaults", action="store_true", help="without deploy/sql/autovacuum.sql")
    options = parser.parse_args()
    with run_postgres(SERVER) as server, new_postgres_database(server) as url:
        upgrade(url)
        fill(url, KEPT * A_DAY // SCALE, 1.0, days=KEPT)
        with contextlib.closing(open_store(url)) as store:
            run_alone(store, AGENDA, *([] if options.defaults else statements(ADVISED)), "SELECT pg_stat_reset()")
            began = time.monotonic()
            tell(list(_hours(store, options.hours)))
            seconds = (time.monotonic() - began) / options.hours
    print(f"\n{'defaults' if options.defaults else ADVISED.name}; an hour took {seconds:.1f} s")


def _hours(store: Store, hours: int) -> Iterator[Seen]:
    yield _look(store, 0)
    for hour in range(1, hours + 1):
        load(store, A_DAY // SCALE // 24)
        while store.remove_finished(timedelta(days=KEPT) - timedelta(hours=hour)):
            pass
        yield _look(store, hour)


def _look(store: Store, hour: int) -> Seen:
    store.database.engine.dispose()  # a session tells what it has counted at its end
    weights = {one.name: one for one in weigh(store)}
    with store.database.reading() as connection:
        found = {row[0]: row[1:] for row in connection.execute(_ROWS, {"tables": list(TABLES)})}
    return Seen(
        hour,
        {name: weights[name].rows for name in TABLES},
        {name: weights[name].indexes for name in TABLES},
        {name: found[name][0] for name in TABLES},
        {name: found[name][1] for name in TABLES},
    )


def tell(seen: Sequence[Seen]) -> None:
    """Sizes at the beginning and at the end of each day, and the most dead rows of each."""
    days = [seen[first : first + 25] for first in range(0, len(seen) - 24, 24)]
    heads = "".join(f" day {number}: MB | most dead | vacuums |" for number in range(1, len(days) + 1))
    print(f"\n| table | MB before |{heads}\n|---|--:|{'--:|' * (3 * len(days))}")
    for name in TABLES:
        cells = [f" {_bytes(seen[0], name)} |"]
        for day in days:
            cells.append(f" {_bytes(day[-1], name)} | {max(one.dead[name] for one in day[1:]):,} |")
            cells.append(f" {day[-1].vacuums[name] - day[0].vacuums[name]} |")
        print(f"| {name} |{''.join(cells)}")


def _bytes(seen: Seen, name: str) -> str:
    return f"{seen.rows[name] / 1e6:.1f} + {seen.indexes[name] / 1e6:.1f}"


if __name__ == "__main__":
    main()
