"""A database of very many orders, quickly: one day by the store's own functions, and copies of it made by the server.

Copies lie evenly over a year, or so many days; the newest have their history, the others what retention leaves: invoice
and payments. Order ids, references, addresses and transactions are random, so that no index is written only at its end.

Indexes are made last, and none of it is written to the WAL where ``wal_level`` is minimal. It is done in steps that are
kept in the database: a filling that was broken off goes on where it was.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping

import psycopg
from sqlalchemy import Table
from sqlalchemy.engine import make_url

from tests.sizing.load import load, open_store
from tests.sizing.tables import run_alone
from workers.store.tables import ATTEMPT, DELIVERY, EVENT, EVIDENCE, INVOICE, PAYMENT, POSITION

DAY = 2_000  #: orders
YEAR, DAY_MS = 365, 86_400_000
#: What is earlier in a copy than in the day, in milliseconds, and ids, which begin with a time.
_AGO = "({ms} - copy * {ms} / {copies})"
_ID = (
    "substr({name}, 1, 4) || lpad(to_hex(('x' || substr({name}, 5, 12))::bit(48)::bigint - {ago}), 12, '0')"
    " || substr({name}, 17)"
)
_TIME = "{name} - {ago} * interval '1 ms'"
_NUMBER = "(copy - {first}) * (SELECT count(*) FROM day_{day}) + place"
_HASH = "md5(key || copy) || md5(copy || key)"
_TIMES = "created_at updated_at expires_at at last_at first_seen_at last_seen_at settled_at published_at finished_at"
#: What a copy has of its own, by column, and what it has in one table only.
_OWN: Mapping[str, str] = {
    **dict.fromkeys(_TIMES.split(), _TIME),
    **dict.fromkeys(("invoice_id", "settled_event"), _ID),
    **dict.fromkeys(("order_id", "idempotency_key"), "md5(order_id || copy)"),
    "key": f"'tx:' || {_HASH}",
    "tx_hash": _HASH,
    "provider_ref": "'ref_' || md5(provider_ref || copy)",
    "address": "'bc1q' || md5(address || copy) || 'abcdef'",
}
_ONLY: Mapping[Table, Mapping[str, str]] = {
    INVOICE: {"id": _ID},
    PAYMENT: {"id": _NUMBER},
    EVENT: {"id": _ID, "number": _NUMBER, "positioned": "1"},
    POSITION: {"position": _NUMBER, "event_number": _NUMBER, "account": "'shop'"},
    DELIVERY: {"id": _NUMBER, "event_number": _NUMBER},
    ATTEMPT: {"id": _NUMBER, "delivery_id": _NUMBER},
    EVIDENCE: {"id": _NUMBER},
}
#: Tables whose rows are as many as another's.
_DAYS: Mapping[Table, str] = {POSITION: "event"}
_STAY = INVOICE, PAYMENT  #: what retention leaves of every order
_KEYS = """
SELECT conname, format('ALTER TABLE %s ADD CONSTRAINT %I %s', conrelid::regclass, conname, pg_get_constraintdef(oid))
FROM pg_constraint WHERE conrelid = '{0}'::regclass AND contype IN ('p', 'u') ORDER BY contype, conname
"""
_INDEXES = """
SELECT indexrelid::regclass::text, pg_get_indexdef(indexrelid) FROM pg_index
WHERE indrelid = '{0}'::regclass AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = indexrelid)
"""
_COUNT_ON = "SELECT setval(pg_get_serial_sequence('{0}', '{1}'), max({1})) FROM {0}"
_LOG = "UPDATE event_log SET removed = 0, newest = (SELECT max(position) FROM event_position)"
#: A day's copies leave the same hole in each page, and a new invoice just fits. In life others have long taken it.
_HOLES = "ALTER TABLE invoice SET (fillfactor = 90)"
_FASTER = "SET maintenance_work_mem = '1GB'; SET max_parallel_maintenance_workers = 1; SET synchronous_commit = off"


def fill(url: str, size: int, history: float, minutes: float | None = None, days: int = YEAR) -> bool:
    """Fill the database as far as ``minutes`` reach; whether it is done. ``history``: the share of orders that have
    theirs."""
    began = time.monotonic()
    plain = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(plain, autocommit=True) as connection:
        connection.execute(_FASTER)
        if connection.execute("SELECT to_regclass('step')").fetchone() == (None,):
            _write_day(url, min(DAY, size))
            with connection.transaction():
                connection.execute("CREATE TABLE step (place serial PRIMARY KEY, statement text NOT NULL)")
                for statement in _steps(connection, max(1, size // DAY), history, days):
                    connection.execute("INSERT INTO step (statement) VALUES (%s)", [statement])
        while step := connection.execute("SELECT place, statement FROM step ORDER BY place LIMIT 1").fetchone():
            _take(connection, *step)
            if minutes is not None and time.monotonic() - began > 60 * minutes:
                break
        return connection.execute("SELECT count(*) FROM step").fetchone() == (0,)


def _write_day(url: str, orders: int) -> None:
    """By the store's own functions; put aside as the day that others are copies of."""
    store = open_store(url)
    try:
        load(store, orders)
        for table in _ONLY.keys() - _DAYS.keys():
            (key,) = table.primary_key.columns.keys()
            row = f"row_number() OVER (ORDER BY {key}) AS place, *"
            run_alone(store, f"CREATE TABLE day_{table.name} AS SELECT {row} FROM {table.name} ORDER BY {key}")
        run_alone(store, "DELETE FROM agenda WHERE stage NOT IN ('publish', 'retain')", "ANALYZE")
    finally:
        store.close()


def _steps(connection: psycopg.Connection, copies: int, history: float, days: int) -> Iterator[str]:
    """Statements, each a transaction of its own."""
    ago = _AGO.format(ms=days * DAY_MS, copies=copies)
    for table in _ONLY:
        first = 0 if table in _STAY else copies - max(1, round(copies * history))
        keys = connection.execute(_KEYS.format(table.name)).fetchall()
        indexes = connection.execute(_INDEXES.format(table.name)).fetchall()
        gone = [f"ALTER TABLE {table.name} DROP CONSTRAINT {name}" for name, _ in keys]
        gone += [f"DROP INDEX {name}" for name, _ in indexes]
        yield ";\n".join([f"TRUNCATE {table.name}", *gone, _copy(table, copies, first, ago)])
        yield from (made for _, made in (*keys, *indexes))
        if table not in {INVOICE, POSITION}:
            yield _COUNT_ON.format(table.name, *table.primary_key.columns.keys())
        yield f"VACUUM (ANALYZE) {table.name}"
    yield _HOLES
    yield _LOG
    yield "VACUUM (ANALYZE)"
    yield "CHECKPOINT"


def _copy(table: Table, copies: int, first: int, ago: str) -> str:
    """All rows of a table, the oldest first, in one statement."""
    day = _DAYS.get(table, table.name)
    own = {**_OWN, **_ONLY[table]}
    names = [column.name for column in table.columns]
    values = [own.get(name, "{name}").format(name=name, ago=ago, first=first, day=day) for name in names]
    source = f"generate_series({first}, {copies - 1}) copy, LATERAL (SELECT * FROM day_{day} OFFSET copy * 0) one"
    return f"INSERT INTO {table.name} ({', '.join(names)}) SELECT {', '.join(values)} FROM {source}"


def _take(connection: psycopg.Connection, place: int, statement: str) -> None:
    began = time.monotonic()
    if statement.startswith(("VACUUM", "CHECKPOINT")):  # in no transaction; twice does no harm
        connection.execute(statement.encode())
        connection.execute("DELETE FROM step WHERE place = %s", [place])
    else:
        with connection.transaction():
            connection.execute(statement.encode())
            connection.execute("DELETE FROM step WHERE place = %s", [place])
    told = " ".join(statement.split()[:6])
    print(f"{time.monotonic() - began:6.1f} s  {told}", file=sys.stderr, flush=True)
