"""What a soak looks at, every few seconds: processes, broker, tables; and once a minute how long things took."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import psycopg
from sqlalchemy.engine import make_url

from tests.bench.ground import Ground
from tests.bench.processes import Processes, broker_lengths
from tests.bench.results import percentile
from tests.bench.soak_verdict import Series
from tests.bench.usage import family, memory_mib, open_files

PROCESSES = ("intake", "worker", "worker2", "beat")
TABLES = ("agenda", "invoice", "event", "delivery", "delivery_attempt", "evidence")
#: As many rows go as come; invoices alone are kept for ever.
TURNED_OVER = ("event", "delivery", "delivery_attempt", "evidence")
STREAM = "invoices:events"
MIB = 1024 * 1024

#: By the server's own counters. Space that VACUUM freed is used again and not given back: a table that turns over
#: grows for the first minutes, to what it needs between two rounds of autovacuum and of the retention, and no further.
TABLE_SIZES = """
SELECT relname, n_live_tup, n_dead_tup, pg_table_size(relid), pg_indexes_size(relid), autovacuum_count
FROM pg_stat_user_tables WHERE relname = ANY(%s)
"""
OPEN_ROWS = "SELECT count(*) FROM invoice WHERE status IN ('queued', 'pending')"


def series_of_samples() -> list[Series]:
    """Everything below that becomes a line of the verdict."""
    found = [Series(f"{name}.rss", f"{name}: memory", "MiB", 0.1, 4) for name in PROCESSES]
    found += [Series(f"{name}.files", f"{name}: open files", "", 0.1, 5) for name in PROCESSES]
    found += [
        Series("postgres.memory", "PostgreSQL: memory of its processes, not shared", "MiB", 0.15, 16),
        Series("valkey.rss", "Valkey: memory", "MiB", 0.1, 8),
        Series("broker.messages", "messages in the broker", "", 0.5, 100),
        Series("stream.length", "events in the stream (trimmed at 20,000)", "", 0.1, 1000),
        Series("open", "open invoices", "", 0.15, 100),
        Series("agenda.live", "agenda: rows", "", 0.15, 200),
        Series("agenda.dead", "agenda: dead rows", "", 0.5, 2000),
        Series("agenda.heap", "agenda: size", "MiB", 0.15, 2),
        Series("agenda.indexes", "agenda: size of its indexes", "MiB", 0.15, 2),
    ]
    for table in TABLES[1:]:
        found.append(Series(f"{table}.live", f"{table}: rows", "", judged=False))
        found.append(Series(f"{table}.dead_share", f"{table}: dead rows of all", "%", 0.25, 10))
    for table in TURNED_OVER:
        found.append(Series(f"{table}.size", f"{table}: size, indexes included", "MiB", 0.2, 8))
    found.append(Series("invoice.bytes", "invoice: bytes a row, indexes included", "B", 0.15, 40))
    return found


def series_of_minutes() -> list[Series]:
    """Latencies; the machine's other load shows in them first."""
    found = []
    for key, what in LATENCIES.items():
        found += [
            Series(f"{key}.p50", f"{what}, p50", "ms", 0.25, 10),
            Series(f"{key}.p99", f"{what}, p99", "ms", 0.5, 50),
        ]
    return [*found, Series("sent", "orders sent a minute", "", judged=False)]


LATENCIES = {
    "call": "published -> provider called",
    "hook": "change written -> webhook received",
    "expiry": "expires_at -> webhook received",
}


class Sampler:
    """Takes samples of one running system; ``with sampler(...)``."""

    def __init__(self, ground: Ground, processes: Processes, connection: psycopg.Connection[Any]) -> None:
        self._ground = ground
        self._pids = processes.pids()
        self._engines = ground.engine_pids()
        self._sql = connection

    def sample(self) -> dict[str, float]:
        """One look at everything."""
        found: dict[str, float] = {}
        for name in PROCESSES:
            found[f"{name}.rss"] = memory_mib(self._pids[name])
            found[f"{name}.files"] = open_files(self._pids[name])
        found["postgres.memory"] = sum(memory_mib(pid, "RssAnon") for pid in family(self._engines["PostgreSQL"]))
        found["valkey.rss"] = memory_mib(self._engines["Valkey"])
        found["broker.messages"] = sum(broker_lengths(self._ground).values())
        found["stream.length"] = self._ground.redis.xlen(STREAM)
        return found | self._tables()

    def _tables(self) -> dict[str, float]:
        found: dict[str, float] = {}
        for name, live, dead, heap, indexes, vacuums in self._sql.execute(TABLE_SIZES, (list(TABLES),)):
            found |= {f"{name}.live": live, f"{name}.dead": dead, f"{name}.vacuums": vacuums}
            found |= {f"{name}.heap": heap / MIB, f"{name}.indexes": indexes / MIB}
            found[f"{name}.dead_share"] = 100 * dead / max(live + dead, 1)
            found[f"{name}.size"] = (heap + indexes) / MIB
            if live > 1000:  # a few rows take up a few empty pages
                found[f"{name}.bytes"] = (heap + indexes) / live
        row = self._sql.execute(OPEN_ROWS).fetchone()
        return found | {"open": row[0] if row else 0}

    def minute(self) -> dict[str, float]:
        """How long things took since the last time this was asked, in milliseconds."""
        arrived = self._ground.ask("take", "POST")
        calls = [at * 1000 - float(order_id.rpartition("@")[2]) for order_id, at in arrived["creates"]]
        hooks = [(at - _seconds(time)) * 1000 for _, _, at, time, _ in arrived["hooks"]]
        late = [(at - _seconds(end)) * 1000 for _, kind, at, _, end in arrived["hooks"] if kind == "invoice.expired"]
        found: dict[str, float] = {"hooks": len(hooks), "early": sum(value < 0 for value in late)}
        for key, values in (("call", calls), ("hook", hooks), ("expiry", late)):
            if values:
                found |= {f"{key}.p50": percentile(values, 0.5), f"{key}.p99": percentile(values, 0.99)}
        return found


@contextlib.contextmanager
def sampler(ground: Ground, processes: Processes, database_url: str) -> Iterator[Sampler]:
    """A sampler with a connection of its own."""
    plain = make_url(database_url).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(plain, autocommit=True) as connection:
        yield Sampler(ground, processes, connection)


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
