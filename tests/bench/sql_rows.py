"""What is SQL and pure Python: PUBLISH, expiry, the cost of a claim, orders in; against the same by bare means."""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Any

import psycopg
import redis.asyncio

from domain.decision import Stage
from tests.bench.ground import Filling, Ground, add_orders, new_order, plain, settle_down, timed
from tests.bench.http_rows import Opener, make_events, run_stage, with_cpu
from tests.bench.results import Row, percentile
from workers.delivery.stream import EventStream
from workers.engine import Work
from workers.stages import publish
from workers.store.store import Store

STREAM = "invoices:events"
CLAIM_ROWS = 100

#: ``:n`` invoices made a while ago, and their CLOCK rows: due in an hour and later, each at a moment of its own.
OPEN_INVOICES = """
INSERT INTO invoice (id, account, provider_account, provider, order_id, idempotency_key, digest, status, sequence,
    first_open, price, currency, provider_ref, payment_url, lifetime_minutes, params, metadata_json, created_at,
    updated_at, expires_at, create_tries, doubts, quiet_polls)
SELECT 'inv_' || lpad(n::text, 32, '0'), 'shop', 'shop', 'nebulox', 'open-' || n, 'open-' || n, repeat('0', 64),
    'pending', 1, 1, '12.50', 'EUR', 'ref-' || n, 'https://pay.example/' || n, '60', '{}', '{"cart":"' || n || '"}',
    now(), now(), now() + interval '1 hour' + n * interval '1 millisecond', 0, 0, 0
FROM generate_series(1, %s) AS n
"""
OPEN_AGENDA = """
INSERT INTO agenda (stage, subject, lane, due_at, claims, pokes)
SELECT 'clock', id, 'clock', expires_at, 0, 0 FROM invoice
"""
#: Every ``step``-th of them expires at one instant, now.
MAKE_DUE = (
    "UPDATE invoice SET expires_at = now() WHERE substr(id, 5)::bigint %% %s = 0",
    "UPDATE agenda SET due_at = now() WHERE stage = 'clock' AND substr(subject, 5)::bigint %% %s = 0",
)


def fill(store: Store, count: int) -> None:
    """So many open invoices."""
    with plain(store) as connection:
        connection.execute(OPEN_INVOICES, (count,))
        connection.execute(OPEN_AGENDA)
    settle_down(store)


def open_ones(count: int) -> Filling:
    """So many open invoices."""
    return Filling(f"{count} open", lambda store: fill(store, count))


def due_ones(count: int, among: int) -> Filling:
    """So many due at one instant among many open ones."""
    return Filling(f"{count} due", lambda store: make_due(store, count, among), open_ones(among))


def make_due(store: Store, count: int, among: int) -> None:
    """So many of them are due now."""
    with plain(store) as connection:
        for statement in MAKE_DUE:
            connection.execute(statement, (among // count,))
    settle_down(store)


# ---------------------------------------------------------------- PUBLISH


def publish_work(ground: Ground, store: Store) -> Opener:
    """PUBLISH, as the worker wires it."""

    async def open_work(stack: AsyncExitStack) -> Work:
        client = await stack.enter_async_context(redis.asyncio.Redis.from_url(ground.valkey.redis_url))
        return publish(store, EventStream(client, STREAM, 1_000_000))

    return open_work


def publish_row(ground: Ground) -> Row:
    """Unpublished events to the stream, against the same bytes from memory by pipelined XADD."""
    count = ground.sizes.events
    cpu: list[float] = []
    with ground.store() as store:
        make_events(store, count)
        bodies = [event.body for event in store.publishing.unpublished(count)]

        def ours() -> float:
            ground.redis.delete(STREAM, f"{STREAM}:fence")
            with store.database.transaction() as connection:
                connection.exec_driver_sql("UPDATE event SET published_at = NULL, positioned = NULL")
                connection.exec_driver_sql("TRUNCATE event_position")
                connection.exec_driver_sql("UPDATE event_log SET newest = 0")
                connection.exec_driver_sql("DELETE FROM agenda WHERE stage = 'publish'")
            settle_down(store)
            store.add_standing()

            def finished(_: Sequence[Any]) -> int:  # one holder works for a third of its lease, then the next
                return 0 if store.publishing.unpublished(1) else 1

            rate = run_stage(store, publish_work(ground, store), 1, cpu, finished) * count
            assert ground.redis.xlen(STREAM) == count
            return rate

        row = Row("publish", "PUBLISH to the stream", "bare pipelined XADD of the same bytes", "events/s", 0.5)
        row.run(ground.sizes.rounds, ours, lambda: _bare_publish(ground, bodies))
    return with_cpu(row, [used / count for used in cpu])


def _bare_publish(ground: Ground, bodies: Sequence[bytes]) -> float:
    ground.redis.delete(STREAM)
    start = time.perf_counter()
    for first in range(0, len(bodies), 500):
        pipeline = ground.redis.pipeline(transaction=False)
        for body in bodies[first : first + 500]:
            pipeline.xadd(STREAM, {"event": body}, maxlen=1_000_000, approximate=True)
        pipeline.execute()
    return len(bodies) / (time.perf_counter() - start)


# ---------------------------------------------------------------- the cost of a claim


#: Which of the open ones are due. Anywhere: each row is on pages of its own. As they came: where all live equally long,
#: those that are due together were made together.
ANYWHERE, AS_THEY_CAME = "md5(subject)", "subject"


#: Since when. Each since its own moment, as they were filled in; or all since one.
ONE_BY_ONE, AT_ONCE = "now() - interval '1 minute' + place * interval '1 millisecond'", "now()"


def claim_row(ground: Ground, key: str = "claim", due: str = ANYWHERE, since: str = ONE_BY_ONE) -> Row:
    """One claim of 100 rows with many open against one with few open."""
    many, few = ground.sizes.open_many, ground.sizes.open_few
    with contextlib.ExitStack() as stack:
        stores = {size: stack.enter_context(ground.store(open_ones(size))) for size in (many, few)}

        where = "" if due == ANYWHERE else ", due as they came"
        where += "" if since == ONE_BY_ONE else ", due at one instant"
        what = f"cost of one claim (100 rows{where}) with {many:,} open"
        row = Row(key, what, f"with {few:,} open", "ms", 1.3, "less")
        # A database just copied has nothing in its buffers.
        _claim_by_turns(stores, ground.sizes.claims // 2, due, since)
        for _ in range(ground.sizes.rounds):
            medians = _claim_by_turns(stores, ground.sizes.claims // 2, due, since)
            row.ours.append(medians[many])
            row.theirs.append(medians[few])
        return row


def _claim_by_turns(stores: Mapping[int, Store], claims: int, due: str, since: str) -> dict[int, float]:
    """The median of a claim in ms, by open invoices. By turns: it is mostly a commit, and how long a disk takes for one
    changes from second to second."""
    for size, store in stores.items():
        _make_some_due(store, claims * CLAIM_ROWS, size, due, since)
    times: dict[int, list[float]] = {size: [] for size in stores}
    for _ in range(claims - 1):
        for size, store in stores.items():
            one = functools.partial(store.claim, Stage.CLOCK, "clock", CLAIM_ROWS, 3600)
            times[size].append(timed(one) * 1000)
    return {size: percentile(found, 0.5) for size, found in times.items()}


def _make_some_due(store: Store, count: int, size: int, due: str, since: str) -> None:
    """So many of them are due, in each round the same: from the second on they stay on their pages, where others would
    be moved to the table's end, side by side."""
    with plain(store) as connection:
        connection.execute(
            "UPDATE agenda SET due_at = now() + interval '1 day', lease_token = NULL, claims = 0"
            " WHERE stage = 'clock' AND (lease_token IS NOT NULL OR due_at <= now())"
        )
        connection.execute(
            f"WITH due AS (SELECT ctid, row_number() OVER (ORDER BY {due}) AS place FROM agenda"
            " WHERE stage = 'clock' AND due_at > now() ORDER BY place LIMIT %s)"
            f" UPDATE agenda SET due_at = {since} FROM due WHERE agenda.ctid = due.ctid".encode(),
            (min(count, size // 2),),
        )
    settle_down(store)


# ---------------------------------------------------------------- orders in


def add_orders_row(ground: Ground) -> Row:
    """Lists of 500 validated orders into the store, against bare INSERTs of the same rows."""
    count = ground.sizes.lists * 500
    lists = [
        [(new_order(f"o-{number}"), "nebulox") for number in range(first, first + 500)]
        for first in range(0, count, 500)
    ]

    def ours() -> float:
        with ground.store() as store:
            return count / timed(lambda: [store.add_orders(orders) for orders in lists])

    row = Row(
        "add-orders", "store.add_orders, lists of 500", "bare INSERT of the same rows, arrays of 500", "orders/s", 0.3
    )
    return row.run(ground.sizes.rounds, ours, lambda: bare_insert(ground, count))


def bare_insert(ground: Ground, count: int) -> float:
    """The rows that so many orders become, 500 a statement and a transaction; rows a second.

    By arrays: VALUES of 500 rows are 15,000 parameters to read and plan, a third as fast and no fair comparison. What
    is the same in all rows of a batch is sent once.
    """
    with ground.store() as store:
        add_orders(store, 500)
        with plain(store) as connection:
            types = {table: _types(connection, table) for table in ("invoice", "agenda")}
            rows = connection.execute(f"SELECT {', '.join(types['invoice'])} FROM invoice".encode()).fetchall()
            connection.execute("TRUNCATE invoice, agenda")
        names = list(types["invoice"])
        places = [names.index(name) for name in ("id", "order_id", "idempotency_key")]
        created_at = names.index("created_at")
        start, spent = time.perf_counter(), 0.0
        with plain(store) as connection:
            for batch in range(count // 500):
                making = time.perf_counter()
                fresh = [_renamed(row, places, batch) for row in rows]
                lines = [("create", row[places[0]], "shop", row[created_at], None, 0, 0) for row in fresh]
                inserts = _insert("invoice", types["invoice"], fresh), _insert("agenda", types["agenda"], lines)
                spent += time.perf_counter() - making
                for statement, values in inserts:
                    connection.execute(statement, values)
                connection.commit()
        return count / (time.perf_counter() - start - spent)


def _types(connection: psycopg.Connection[Any], table: str) -> dict[str, str]:
    """The columns that an order's row fills, and their types, in the table's order."""
    found = connection.execute(
        "SELECT attname, format_type(atttypid, NULL) FROM pg_attribute"
        " WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum",
        (table,),
    )
    return dict(found.fetchall())


def _renamed(row: Sequence[Any], places: Sequence[int], batch: int) -> list[Any]:
    fresh = list(row)
    for place in places:
        fresh[place] = f"{row[place]}-{batch}"[-40:]
    return fresh


def _insert(table: str, types: Mapping[str, str], rows: Sequence[Sequence[Any]]) -> tuple[bytes, list[Any]]:
    columns = dict(zip(types, (list(values) for values in zip(*rows, strict=True)), strict=True))
    same = {name: values[0] for name, values in columns.items() if all(value == values[0] for value in values)}
    varying = {name: values for name, values in columns.items() if name not in same}
    arrays = ", ".join(f"%s::{types[name]}[]" for name in varying)
    constants = "".join(f", %s::{types[name]}" for name in same)
    statement = (
        f"INSERT INTO {table} ({', '.join([*varying, *same])}) SELECT given.*{constants} FROM unnest({arrays}) AS given"
    )
    return statement.encode(), [*same.values(), *varying.values()]


def rows(ground: Ground) -> dict[str, Callable[[], Row]]:
    """By key."""
    return {
        "publish": lambda: publish_row(ground),
        "claim": lambda: claim_row(ground),
        "claim-in-order": lambda: claim_row(ground, "claim-in-order", AS_THEY_CAME),
        "claim-at-once": lambda: claim_row(ground, "claim-at-once", ANYWHERE, AT_ONCE),
        "add-orders": lambda: add_orders_row(ground),
    }
