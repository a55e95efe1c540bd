"""What is looked at: rates with more hosts, one order behind many of another account, hosts that come and go."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import psycopg
from rich.table import Table
from sqlalchemy.engine import make_url

from tests.bench.processes import wait_until
from tests.engines import new_postgres_database
from tests.hosts.crew import ACCOUNTS, Crew, lost_or_twice
from tests.hosts.network import HUB
from tests.hosts.servers import POSTGRES_PORT, Servers
from tests.hosts.waits import Waits, watched_waits
from tests.pgbouncer import run_pgbouncer, set_role
from workers.store.schema import upgrade

#: Sessions on the server for all hosts together: with two cores, five times what PgBouncer's own advice would be.
POOLED = 30
#: A provider that keeps a host waiting, so that one that dies has calls in flight.
SLOW_MS = 1000
WRITTEN = "SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint"
MADE = "SELECT order_id, count(*) FROM invoice WHERE status = 'pending' GROUP BY order_id"
QUEUED = "SELECT count(*) FROM invoice WHERE status = 'queued'"
ROWS = f"SELECT count(*) FROM invoice WHERE account = '{ACCOUNTS[0]}'"
ROWS_BEFORE = f"{ROWS} AND created_at < (SELECT created_at FROM invoice WHERE order_id = %s)"
DELIVERED = """
SELECT count(*) FROM delivery JOIN invoice ON invoice.id = delivery.invoice_id
WHERE invoice.order_id = %s AND delivery.state = 'delivered'
"""


@dataclass(frozen=True, slots=True)
class Scene:
    """The hub's servers and how hosts reach PostgreSQL. ``orders``: a host, of each rate."""

    key: str
    servers: Servers
    folder: Path
    orders: int
    direct: bool

    @contextlib.contextmanager
    def crew(self, delay_ms: int) -> Iterator[tuple[Crew, str]]:
        """A crew on a fresh database, and that database's address by its socket."""
        with new_postgres_database(self.servers.plain_url) as url:
            upgrade(url)
            self.servers.redis.flushall()
            with self._reached(url) as reached:
                crew = Crew(self.key, self.servers, reached, self.folder, delay_ms)
                crew.subscribe(url)
                yield crew, make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)

    @contextlib.contextmanager
    def _reached(self, url: str) -> Iterator[str]:
        if self.direct:
            yield make_url(url).set(host=HUB, port=POSTGRES_PORT, query={}).render_as_string(hide_password=False)
            return
        set_role(url)
        with run_pgbouncer(url, POOLED, HUB) as pooled:
            yield pooled


def rates(scene: Scene, hosts: Sequence[int], delays_ms: Sequence[int]) -> Table:
    """Orders a second, and where their time goes."""
    table = Table(title="orders a second", title_justify="left")
    for name in ("provider", "hosts", "orders/s", "against the first", "CPU-ms an order", "WAL bytes an order"):
        table.add_column(name, justify="right", overflow="fold")
    table.add_column("connections", justify="right")
    table.add_column("what PostgreSQL's busy connections wait for")
    for delay_ms in delays_ms:
        first = 0.0
        for number in hosts:
            rate, cells = _rate(scene, delay_ms, number)
            first = first or rate
            table.add_row(f"{delay_ms} ms", str(number), f"{rate:.0f}", f"{rate / first:.2f}", *cells)
    return table


def _rate(scene: Scene, delay_ms: int, hosts: int) -> tuple[float, list[str]]:
    count = scene.orders * hosts
    with scene.crew(delay_ms) as (crew, url), crew.hosts(*range(1, hosts + 1)):
        crew.whole_rate(50 * hosts)  # first calls, first connections
        with psycopg.connect(url, autocommit=True) as connection, watched_waits(url) as waits:
            before, written = crew.cpu(), _number(connection, WRITTEN)
            rate = crew.whole_rate(count)
            used = {name: now - before[name] for name, now in crew.cpu().items()}
            written = _number(connection, WRITTEN) - written
    cpu = ", ".join(f"{name} {seconds / count * 1000:.2f}" for name, seconds in used.items())
    return rate, [cpu, f"{written / count:,.0f}", str(waits.connections), _told(waits)]


def _told(waits: Waits) -> str:
    return ", ".join(f"{name} {share:.0%}" for name, share in waits.shares())


def fairness(scene: Scene, many: int, hosts: int) -> Table:
    """One account's one order: alone, and behind many of another account."""
    title = f"one order, and {many:,} of another account"
    table = Table("", "seconds until its webhook", "orders of the other taken first", title=title, title_justify="left")
    with contextlib.ExitStack() as stack:
        crew, url = stack.enter_context(scene.crew(100))
        connection = stack.enter_context(psycopg.connect(url, autocommit=True))
        with crew.hosts(*range(1, hosts + 1)):
            crew.whole_rate(100)
            table.add_row("alone", *_one_order(crew, connection))
            crew.push(many)
            left = crew.waiting()
            table.add_row(f"{left:,} in the broker before it", *_one_order(crew, connection))
            wait_until(lambda: not crew.waiting(), "all orders are rows")
            left = _number(connection, QUEUED)
            table.add_row(f"{left:,} rows that wait for their create", *_one_order(crew, connection))
    return table


def _one_order(crew: Crew, connection: psycopg.Connection) -> tuple[str, str]:
    """Seconds until the small account's order is delivered, and how many of the other's became rows meanwhile, before
    it."""
    start, before = time.monotonic(), _number(connection, ROWS)
    (order_id,) = crew.push(1, ACCOUNTS[1])
    wait_until(lambda: _number(connection, DELIVERED, order_id) > 0, "the small account's order is delivered")
    seconds = time.monotonic() - start
    return f"{seconds:.2f}", f"{_number(connection, ROWS_BEFORE, order_id) - before:,}"


@dataclass(frozen=True, slots=True)
class Change:
    """What became of ``orders`` while a host came and another was killed."""

    orders: int
    lost: int
    twice: int
    again: int  #: creates sent again: their answers died with the host
    seconds_after_kill: float  #: until all were made

    def __str__(self) -> str:
        return (
            f"a host added at a quarter of {self.orders:,} orders, the first one killed at half: {self.lost} lost, "
            f"{self.twice} invoices twice, {self.again} creates sent again, whose answers died with it; all made "
            f"{self.seconds_after_kill:.1f} s after the kill"
        )


def change(scene: Scene) -> Change:
    """Under load the second host comes, and the first is gone at once, beat with it, amid a hundred calls."""
    count = scene.orders * 2
    with scene.crew(SLOW_MS) as (crew, url), crew.hosts(1), psycopg.connect(url, autocommit=True) as connection:
        crew.servers.ask("reset", "POST")
        ids = crew.push(count)
        crew.wait_for_hooks(count // 4)
        crew.add(2)
        crew.wait_for_hooks(count // 2)
        crew.kill(1)
        killed = time.monotonic()
        wait_until(lambda: len(connection.execute(MADE).fetchall()) >= count, "all are made")
        lost, twice = lost_or_twice(connection.execute(MADE).fetchall(), ids)
        again = crew.servers.ask("stats")["creates"] - count
    return Change(count, lost, twice, again, time.monotonic() - killed)


def _number(connection: psycopg.Connection, query: str, *values: str) -> int:
    row = connection.execute(query.encode(), values).fetchone()
    assert row is not None
    return int(row[0])
