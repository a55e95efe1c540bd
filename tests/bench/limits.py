"""The rate of a hand-written loop that does only what its benchmark row can't do without: the upper limit of a goal.

Nothing is decided, leased or counted here, and nothing survives a crash half-way: it is no goal, but no faster way is
known that keeps the same rows and tells the same events.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from datetime import datetime
from decimal import Decimal
from statistics import median
from types import SimpleNamespace
from typing import Any, NamedTuple, cast

import psycopg
import structlog
from psycopg.rows import dict_row

from domain.event import Told, envelope, new_id
from tests.bench import bare
from tests.bench.ground import SECRET, Ground, add_orders, plain
from tests.bench.results import Row
from workers.delivery.attempt import Outgoing
from workers.delivery.webhook import signed_headers
from workers.http.client import LeanClient, make_request
from workers.store.store import Store

log = structlog.get_logger()

BATCH = 500
AMOUNTS = ("price", "pay_amount", "paid_amount", "lifetime_minutes")

READ = "SELECT * FROM invoice WHERE id = ANY(%(ids)s) ORDER BY id FOR UPDATE"
EXPIRE = (
    "UPDATE invoice SET status = 'expired', reason = 'expires_at has passed', sequence = sequence + 1, first_open = 0,"
    " monitor_until = %(now)s, updated_at = %(now)s WHERE id = ANY(%(ids)s)",
    "DELETE FROM agenda WHERE stage = 'clock' AND subject = ANY(%(ids)s)",
)
MADE = (
    "UPDATE invoice SET status = 'pending', provider_ref = id, payment_url = 'https://pay.example/' || id,"
    " sequence = sequence + 1, create_tries = 1, updated_at = %(now)s, expires_at = %(now)s + interval '1 hour'"
    " WHERE id = ANY(%(ids)s)",
    "DELETE FROM agenda WHERE stage = 'create' AND subject = ANY(%(ids)s)",
    "INSERT INTO agenda (stage, subject, lane, due_at, claims, pokes)"
    " SELECT 'clock', i, 'clock', %(now)s + interval '1 hour', 0, 0 FROM unnest(%(ids)s::text[]) AS i",
)
TELL = (
    "INSERT INTO event (id, invoice_id, sequence, type, body, created_at)"
    " SELECT e, i, s, %(type)s, b, %(now)s"
    " FROM unnest(%(events)s::text[], %(ids)s::text[], %(sequences)s::int[], %(bodies)s::bytea[]) AS u (e, i, s, b)"
)
#: Due deliveries with their events, a page.
DUE = (
    "SELECT delivery.id, endpoint_id || '/' || delivery.invoice_id, event.id, body FROM delivery"
    " JOIN event ON number = event_number WHERE state = 'due' AND delivery.id > %s ORDER BY delivery.id LIMIT %s"
)
DELIVERED = (
    "UPDATE delivery SET state = 'delivered', tries = tries + 1, next_try_at = NULL, finished_at = %(now)s"
    " WHERE id = ANY(%(ids)s)",
    "INSERT INTO delivery_attempt (delivery_id, at, outcome, status, latency_ms, answer)"
    " SELECT d, %(now)s, 'delivered', 200, l, a"
    " FROM unnest(%(ids)s::bigint[], %(latencies)s::int[], %(answers)s::bytea[]) AS u (d, l, a)",
    "DELETE FROM agenda WHERE stage = 'deliver' AND subject = ANY(%(subjects)s)",
)


def change(connection: psycopg.Connection[Any], ids: Sequence[str], statements: Sequence[str], status: str) -> None:
    """Read these invoices under lock, make and keep each one's event, log a line for each; one transaction."""
    now: datetime = connection.execute("SELECT clock_timestamp()").fetchone()[0]  # type: ignore[index]  # has a row
    rows = connection.cursor(row_factory=dict_row).execute(READ, {"ids": ids}).fetchall()
    given: dict[str, Any] = {"ids": [row["id"] for row in rows], "now": now, "type": f"invoice.{status}"}
    given["events"] = [new_id("evt") for _ in rows]
    given["sequences"] = [row["sequence"] + 1 for row in rows]
    given["bodies"] = [_event(row, event, status, now) for row, event in zip(rows, given["events"], strict=True)]
    for statement in (*statements, TELL):
        connection.execute(statement.encode(), given)
    connection.commit()
    for row in rows:
        log.info(
            "invoice.changed", status=status, invoice_id=row["id"], account=row["account"], order_id=row["order_id"]
        )


def _event(row: dict[str, Any], event_id: str, status: str, now: datetime) -> bytes:
    told = {name: None if row[name] is None else Decimal(row[name]) for name in AMOUNTS}
    invoice = SimpleNamespace(**{**row, **told, "status": status, "sequence": row["sequence"] + 1, "updated_at": now})
    return envelope(
        cast("Told", invoice), event_id=event_id, event_type=f"invoice.{status}", previous_status="pending", time=now
    )


def expiries(store: Store) -> float:
    """All that is due, batches of 500, one connection; invoices a second."""
    with plain(store) as connection:
        found = connection.execute("SELECT subject FROM agenda WHERE stage = 'clock' AND due_at <= now()").fetchall()
    ids, start = sorted(row[0] for row in found), time.perf_counter()
    with plain(store) as connection:
        for first in range(0, len(ids), BATCH):
            change(connection, ids[first : first + BATCH], EXPIRE, "expired")
    return len(ids) / (time.perf_counter() - start)


def creates(ground: Ground, count: int, width: int) -> float:
    """CREATE's bare loop; what came is written by a thread beside it, whatever there is at a time. Calls a second."""
    with ground.store() as store, plain(store) as connection:
        add_orders(store, count)
        ids = iter([row[0] for row in connection.execute("SELECT id FROM invoice ORDER BY id").fetchall()])
        connection.commit()
        return bare.on_the_workers_loop(lambda: _creates(ground, connection, ids, count, width))


async def _creates(
    ground: Ground, connection: psycopg.Connection[Any], ids: Iterator[str], count: int, width: int
) -> float:
    answered: list[str] = []
    calling = asyncio.create_task(bare.create_calls(ground, count, width, 0, lambda: answered.append(next(ids))))
    start, written = time.perf_counter(), 0
    while written < count:
        batch, answered[:] = answered[:BATCH], answered[BATCH:]
        if batch:
            await asyncio.to_thread(change, connection, batch, MADE, "pending")
            written += len(batch)
        else:
            await asyncio.sleep(0.001)
    seconds = time.perf_counter() - start
    await calling
    return count / seconds


class Posted(NamedTuple):
    """A delivery whose webhook was answered by 200."""

    id: int
    subject: str
    latency_ms: int
    answer: bytes


class Deliveries:
    """DELIVER's bare loop; a thread beside it reads what is due, another writes what was answered."""

    def __init__(self, ground: Ground, store: Store) -> None:
        self._ground = ground
        self._store = store
        self._waiting: asyncio.Queue[tuple[int, str, str, bytes]] = asyncio.Queue(2 * BATCH)
        self._posted: list[Posted] = []

    def rate(self, count: int, width: int) -> float:
        """So many deliveries, ``width`` posts at a time; deliveries a second."""
        return bare.on_the_workers_loop(lambda: self._run(count, width))

    async def _run(self, count: int, width: int) -> float:
        async with bare.hook_client(self._ground) as (client, url):
            start = time.perf_counter()
            async with asyncio.TaskGroup() as group:
                group.create_task(self._read())
                group.create_task(self._write(count))
                group.create_task(bare.in_flight(count, width, lambda: self._post(client, url)))
            return count / (time.perf_counter() - start)

    async def _read(self) -> None:
        last = 0
        with plain(self._store) as connection:
            while page := await asyncio.to_thread(lambda last: connection.execute(DUE, (last, BATCH)).fetchall(), last):
                last = page[-1][0]
                for one in page:
                    await self._waiting.put(one)

    async def _post(self, client: LeanClient, url: str) -> None:
        number, subject, event_id, body = await self._waiting.get()
        began = time.perf_counter()
        signed = signed_headers(Outgoing(url, (SECRET,), event_id, body), int(time.time()))
        status, answer = await bare.exchange(client, make_request("POST", url, bare.JSON, body, signed))
        assert status == 200
        self._posted.append(Posted(number, subject, round((time.perf_counter() - began) * 1000), answer))

    async def _write(self, count: int) -> None:
        with plain(self._store) as connection:
            while count:
                batch, self._posted[:] = self._posted[:BATCH], self._posted[BATCH:]
                if batch:
                    await asyncio.to_thread(note, connection, batch)
                    count -= len(batch)
                else:
                    await asyncio.sleep(0.001)


def note(connection: psycopg.Connection[Any], posted: Sequence[Posted]) -> None:
    """Write down that these were delivered, with each one's attempt; nothing more is to be sent. One transaction."""
    given: dict[str, Any] = {"now": connection.execute("SELECT clock_timestamp()").fetchone()[0]}  # type: ignore[index]  # has a row
    given["ids"], given["subjects"], given["latencies"], given["answers"] = map(list, zip(*posted, strict=True))
    for statement in DELIVERED:
        connection.execute(statement.encode(), given)
    connection.commit()


def tell(row: Row, rates: Sequence[float], does: str = "reads, tells, logs and writes by hand") -> Row:
    """The row says by itself how far its goal could be reached."""
    share = median(rates) / median(row.theirs)
    row.note = f"a bare loop that also {does}: {median(rates):,.0f}/s, {share:.2f}"
    return row
