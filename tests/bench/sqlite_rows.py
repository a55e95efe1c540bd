"""The embedded default's database beside PostgreSQL, in the same rounds: what it carries, judged by itself."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Callable, Iterator
from typing import Any

from tests.bench.ground import Ground
from tests.bench.process_rows import INTAKE, subscribe, whole_rate
from tests.bench.processes import creates, drain_rate, lists, ours
from tests.bench.results import Row
from workers.store.schema import upgrade

PROCESSES = ("intake", "worker", "worker2", "beat")


def whole_sqlite_row(ground: Ground, kind: str) -> Row:
    """The whole way on either database, never both at once."""
    count, make = max(ground.sizes.whole // 4, 200), lists if kind == "create_many" else creates
    key = "whole-sqlite" if kind == "create_many" else "whole-sqlite-create"
    row = Row(key, f"whole way by {kind} on SQLite, 2 workers", "PostgreSQL", "invoices/s", 600, judged="ours")

    def rate(url: str) -> float:
        with ours(ground, url, *PROCESSES):
            whole_rate(ground, INTAKE, make(100, f"invoices.{kind}", INTAKE), 100)  # first calls, first connections
            return whole_rate(ground, INTAKE, make(count, f"invoices.{kind}", INTAKE), count)

    return _beside(ground, row, rate)


def intake_sqlite_row(ground: Ground) -> Row:
    """A message an order into SQLite."""
    count = ground.sizes.messages
    row = Row("intake-sqlite", "intake by invoices.create on SQLite", "PostgreSQL", "messages/s", judged="ours")

    def rate(url: str) -> float:
        with ours(ground, url, "intake"):
            return drain_rate(ground.redis, INTAKE, creates(count, "invoices.create", INTAKE), count)

    return _beside(ground, row, rate)


def _beside(ground: Ground, row: Row, rate: Callable[[str], float]) -> Row:
    def on(database: Any) -> float:
        with database as url:
            subscribe(ground, url)
            return rate(url)

    return row.run(ground.sizes.rounds, lambda: on(sqlite_url(ground)), lambda: on(ground.database_url()))


@contextlib.contextmanager
def sqlite_url(ground: Ground) -> Iterator[str]:
    """A fresh migrated SQLite file."""
    path = ground.folder / f"{uuid.uuid4().hex}.db"
    url = f"sqlite+pysqlite:///{path}"
    upgrade(url)
    yield url
    for file in ground.folder.glob(f"{path.name}*"):
        file.unlink()


def rows(ground: Ground) -> dict[str, Callable[[], Row]]:
    """By key."""
    return {
        "whole-sqlite": lambda: whole_sqlite_row(ground, "create_many"),
        "whole-sqlite-create": lambda: whole_sqlite_row(ground, "create"),
        "intake-sqlite": lambda: intake_sqlite_row(ground),
    }
