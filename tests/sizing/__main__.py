"""``python -m tests.sizing``: what orders weigh, how long it takes to archive and remove them, and what vacuuming does.

Loads a few thousand by the store's own functions, into a PostgreSQL of its own. ``--orders 2000`` for a quick look.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from sqlalchemy import text

from tests.engines import new_postgres_database, run_postgres
from tests.sizing.load import load, open_store
from tests.sizing.moving import tell_move
from tests.sizing.tables import ADVISED, Weight, add_day, dead_rows, keep_day, run_alone, statements, weigh
from workers.store.acts import Actor
from workers.store.operate.archiving import archive
from workers.store.schema import upgrade
from workers.store.store import Store

SERVER = {
    "shared_buffers": "256MB",
    "max_wal_size": "4GB",
    "autovacuum_naptime": "1s",
    "log_autovacuum_min_duration": "0",
}
A_DAY, DAYS = 100_000, 365
KEPT, TURNS = 15, 15  #: days in the table of the run that removes one and adds one
QUIET_SECONDS = 60.0  #: the longest that autovacuum is waited for


def main() -> None:
    """All three, printed."""
    given = argparse.ArgumentParser(prog="python -m tests.sizing", description=__doc__)
    given.add_argument("--orders", type=int, default=5000)
    given.add_argument("--a-day", type=int, default=300, help="orders a day in the run about vacuuming")
    given.add_argument("--move", type=int, metavar="ROWS", help="only move so many rows from SQLite")
    options = given.parse_args()
    with run_postgres(SERVER) as server:
        if options.move:
            tell_move(server, options.move)
            return
        with new_store(server) as store:
            tell_weight(store, options.orders)
            tell_removal(store, options.orders)
        for advised in (False, True):
            with new_store(server) as store:
                tell_bloat(store, options.a_day, advised=advised)


class new_store:  # noqa: N801 - used like a function
    """A store over a database of its own."""

    def __init__(self, server: str) -> None:
        self._database = new_postgres_database(server)

    def __enter__(self) -> Store:
        url = self._database.__enter__()
        upgrade(url)
        self._store = open_store(url)
        return self._store

    def __exit__(self, *failure: object) -> None:
        self._store.close()
        self._database.__exit__(None, None, None)


def tell_weight(store: Store, orders: int) -> None:
    """Bytes of an order, by table."""
    empty = {one.name: one for one in weigh(store)}
    seconds = timed(lambda: load(store, orders))
    run_alone(store, "DELETE FROM agenda WHERE stage NOT IN ('publish', 'retain')", "VACUUM (FULL, ANALYZE)")
    found = [less(one, empty[one.name]) for one in weigh(store)]
    print(f"\n{orders} orders, loaded in {seconds:.0f} s\n")
    print(f"| table | rows an order | bytes of rows | of indexes | GB a year at {A_DAY:,} a day |")
    print("|---|--:|--:|--:|--:|")
    for one in [*found, Weight("all", sum(one.rows for one in found), sum(one.indexes for one in found), 0)]:
        if one.total >= orders:  # less than a byte an order is none
            rows = f"{one.count / orders:.1f}" if one.count else ""
            year = one.total / orders * A_DAY * DAYS / 1e9
            print(f"| {one.name} | {rows} | {one.rows / orders:,.0f} | {one.indexes / orders:,.0f} | {year:,.0f} |")


def less(one: Weight, other: Weight) -> Weight:
    """Without what an empty table takes."""
    return Weight(one.name, max(0, one.rows - other.rows), max(0, one.indexes - other.indexes), one.count)


def tell_removal(store: Store, orders: int) -> None:
    """How long it takes to archive and remove them; and by retention, which keeps the invoices."""
    with tempfile.TemporaryDirectory() as folder:
        seconds = timed(lambda: all_of(store, Path(folder), timedelta(0)))
        written = sum(path.stat().st_size for path in Path(folder).glob("*.gz"))
    print(f"\narchived and removed in {told(seconds, orders)}; ", end="")
    print(f"{written / orders:,.0f} bytes an order in the file, {written / orders * A_DAY * DAYS / 1e9:,.0f} GB a year")
    print(f"{dead_rows(store):,} dead rows")
    load(store, orders)
    seconds = timed(lambda: all_removed(store))
    print(f"by retention, which keeps invoices: {told(seconds, orders)}")


def all_of(store: Store, folder: Path, older_than: timedelta) -> int:
    """Archive all; how many invoices."""
    actor = Actor("sizing", "tests")
    return sum(one.removed for one in archive(store.database, folder, older_than, actor))


def all_removed(store: Store) -> None:
    """As the workers remove it, without the pauses."""
    while store.remove_finished(timedelta(0)):
        pass


def tell_bloat(store: Store, a_day: int, *, advised: bool) -> None:
    """A day is removed and one is added, again and again: how much larger do the tables become?"""
    if advised:
        run_alone(store, *statements(ADVISED))
    load(store, a_day)
    run_alone(store, "DELETE FROM agenda WHERE stage NOT IN ('publish', 'retain')")
    keep_day(store)
    for day in range(1, KEPT):
        add_day(store, day, day)
    run_alone(store, "VACUUM (FULL, ANALYZE)", "SELECT pg_stat_reset()")
    before, most, seconds = ours(store), 0, []
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(TURNS):
            left = timedelta(days=KEPT - 1.5 - turn)
            began = time.monotonic()
            all_of(store, Path(folder), left)
            seconds.append(time.monotonic() - began)
            most = max(most, dead_rows(store))
            add_day(store, KEPT + turn, -1 - turn)
            settle(store)
    print(f"\n{'with' if advised else 'without'} the advice: {KEPT} days of {a_day} orders, {TURNS} turns: ", end="")
    print(f"{before / 1e6:.1f} MB became {ours(store) / 1e6:.1f} MB ({ours(store) / before - 1:+.0%}), ", end="")
    print(f"at most {most:,} dead rows; a day's removal {min(seconds):.1f} to {max(seconds):.1f} s")
    print(", ".join(f"{name} {count}" for name, count in vacuums(store)))


def ours(store: Store) -> int:
    """Bytes of all our tables."""
    return sum(one.total for one in weigh(store) if not one.name.startswith("day_"))


def settle(store: Store) -> None:
    """Until autovacuum has come by: it looks once a second here, and counts what it has to do by statistics."""
    passed = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'autovacuum worker'"
    began = time.monotonic()
    quiet = 0
    while quiet < 3 and time.monotonic() - began < QUIET_SECONDS:
        time.sleep(1)
        with store.database.reading() as connection:
            quiet = 0 if connection.execute(text(passed)).scalar_one() else quiet + 1


def vacuums(store: Store) -> list[tuple[str, int]]:
    """How often autovacuum came, by table."""
    query = "SELECT relname, autovacuum_count FROM pg_stat_user_tables WHERE autovacuum_count > 0 ORDER BY 1"
    with store.database.reading() as connection:
        return [(row[0], row[1]) for row in connection.execute(text(query))]


def told(seconds: float, orders: int) -> str:
    """And how long a day would take."""
    return f"{seconds:.1f} s, {seconds / orders * A_DAY / 60:.1f} min for {A_DAY:,}"


def timed(do: Callable[[], object]) -> float:
    """Seconds. What this process computed in them is printed: the rest is PostgreSQL, or a busy machine."""
    began, computed = time.monotonic(), time.process_time()
    do()
    seconds = time.monotonic() - began
    print(f"({time.process_time() - computed:.1f} of {seconds:.1f} s were this process's)")
    return seconds


if __name__ == "__main__":
    main()
