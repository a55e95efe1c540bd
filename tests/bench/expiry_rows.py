"""Expiry of many at one instant: by the clocks of two worker processes, and by one, against bare SQL."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from typing import Any

from tests.bench import limits
from tests.bench.ground import ROOT, Ground, plain
from tests.bench.http_rows import Opener, run_stage, with_cpu
from tests.bench.processes import wait_until
from tests.bench.results import Row
from tests.bench.sql_rows import due_ones
from tests.bench.usage import cpu_seconds
from workers.engine import Work
from workers.stages import clock
from workers.store.store import Store

AGAINST = "the same rows and events by bare SQL, batches of 1,000"
WORKERS = 2  #: as in the whole way


def clock_work(store: Store) -> Opener:
    """CLOCK, as the worker wires it."""

    async def open_work(stack: AsyncExitStack) -> Work:
        return clock(store)

    return open_work


def expiry_row(ground: Ground, key: str = "expiry", connections: int = 1) -> Row:
    """Invoices due at one instant among many open ones: claim, decide, write, against the writing alone."""
    due, among = ground.sizes.due, ground.sizes.open_many
    cpu: list[float] = []

    def ours() -> float:
        with ground.store(due_ones(due, among)) as store, _clocks(ground, store) as begin:
            return due / begin(due, cpu)

    what = f"expiry of {due:,} due at one instant among {among:,} open, {WORKERS} workers' clocks"
    row = Row(key, what, f"{AGAINST}, connections: {connections}", "invoices/s", 0.5 if connections == 1 else None)
    return with_cpu(row.run(ground.sizes.rounds, ours, lambda: _bare(ground, connections)), cpu, "clocks")


def one_clock_row(ground: Ground) -> Row:
    """The same by one process."""
    due, among = ground.sizes.due, ground.sizes.open_many
    cpu: list[float] = []

    def ours() -> float:
        with ground.store(due_ones(due, among)) as store:
            return run_stage(store, clock_work(store), due, cpu)

    row = Row("expiry-one", f"the same {due:,}, one worker's clock", f"{AGAINST}, connections: 1", "invoices/s")
    row.run(ground.sizes.rounds, ours, lambda: _bare(ground, 1))
    return with_cpu(limits.tell(row, [_limit(ground) for _ in range(ground.sizes.rounds)]), cpu)


def _limit(ground: Ground) -> float:
    with ground.store(due_ones(ground.sizes.due, ground.sizes.open_many)) as store:
        return limits.expiries(store)


@contextlib.contextmanager
def _clocks(ground: Ground, store: Store) -> Iterator[Callable[[int, list[float]], float]]:
    """Processes that are ready to begin; gives what begins them, and returns the seconds until so many have expired."""
    url = store.database.engine.url.render_as_string(hide_password=False)
    with (ground.folder / "clocks.log").open("ab") as log, contextlib.ExitStack() as stack:
        processes = [stack.enter_context(_clock(url, log)) for _ in range(WORKERS)]
        for process in processes:
            process.stdout.readline()

        def begin(count: int, cpu: list[float]) -> float:
            used, start = sum(cpu_seconds(process.pid) for process in processes), time.perf_counter()
            for process in processes:
                process.stdin.write(b"go\n")
                process.stdin.flush()
            with plain(store) as connection:
                wait_until(lambda: _all_expired(connection, count), f"{count} expiries")
            seconds = time.perf_counter() - start
            cpu.append((sum(cpu_seconds(process.pid) for process in processes) - used) / count * 1000)
            return seconds

        yield begin


@contextlib.contextmanager
def _clock(url: str, log: Any) -> Iterator[Any]:
    argv = [sys.executable, "-m", "tests.bench.clock", url]
    pipe = subprocess.PIPE
    process = subprocess.Popen(argv, cwd=ROOT, env=os.environ, stdin=pipe, stdout=pipe, stderr=log)
    try:
        yield process
    finally:
        process.communicate()  # the end of its input is its end


def _all_expired(connection: Any, count: int) -> bool:
    """Counted only when the events' greatest number says that it may be so: it is work for the server."""
    if connection.execute("SELECT coalesce(max(number), 0) FROM event").fetchone()[0] < count:
        return False
    return int(connection.execute("SELECT count(*) FROM invoice WHERE status = 'expired'").fetchone()[0]) >= count


#: What an expiry changes, by hand: the invoice, its agenda, its event; the event's bytes come ready-made.
BARE_EXPIRY = (
    "UPDATE invoice SET status = 'expired', reason = 'expires_at has passed', sequence = sequence + 1, first_open = 0,"
    " monitor_until = %(now)s, updated_at = %(now)s WHERE id = ANY(%(ids)s)",
    "DELETE FROM agenda WHERE stage = 'clock' AND subject = ANY(%(ids)s)",
    "INSERT INTO event (id, invoice_id, sequence, type, body, created_at)"
    " SELECT 'evt_' || i, i, 2, 'invoice.expired', %(body)s, %(now)s FROM unnest(%(ids)s::text[]) AS i",
)


def _bare_expiry(store: Store, connections: int) -> float:
    with plain(store) as connection:
        now = connection.execute("SELECT now()").fetchone()
        found = connection.execute("SELECT subject FROM agenda WHERE stage = 'clock' AND due_at <= now()").fetchall()
    ids = sorted(row[0] for row in found)
    batches = [ids[first : first + 1000] for first in range(0, len(ids), 1000)]

    def expire(connection: Any, mine: Sequence[Sequence[str]]) -> None:
        for batch in mine:
            for statement in BARE_EXPIRY:
                connection.execute(statement, {"ids": batch, "now": now and now[0], "body": b"x" * 1200})
            connection.commit()

    with contextlib.ExitStack() as stack:
        open_ones = [stack.enter_context(plain(store)) for _ in range(connections)]
        threads = stack.enter_context(ThreadPoolExecutor(connections))
        start = time.perf_counter()
        list(threads.map(expire, open_ones, (batches[number::connections] for number in range(connections))))
        return len(ids) / (time.perf_counter() - start)


def _bare(ground: Ground, connections: int) -> float:
    with ground.store(due_ones(ground.sizes.due, ground.sizes.open_many)) as store:
        return _bare_expiry(store, connections)


def rows(ground: Ground) -> dict[str, Callable[[], Row]]:
    """By key."""
    return {
        "expiry": lambda: expiry_row(ground),
        "expiry-two": lambda: expiry_row(ground, "expiry-two", connections=2),
        "expiry-one": lambda: one_clock_row(ground),
    }
