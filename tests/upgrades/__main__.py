"""Keeps what the release of today leaves behind, for every later one: `python -m tests.upgrades`.

Run once for a release, at its tag; what is kept is never made anew. See deploy/decisions/0008.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import redis

from tests.engines import new_postgres_database, run_postgres, run_valkey
from tests.upgrades.dump import dump_rows, read_shape
from tests.upgrades.keys import HELD_ORDER, build_keys, dump_keys
from tests.upgrades.messages import held_message, write_messages
from tests.upgrades.rows import ENDPOINT_ID, build_rows
from workers.store.database import Database
from workers.store.schema import revisions, upgrade

RELEASES = Path(__file__).with_name("releases")


def keep(folder: Path) -> None:
    """Write the shape and the rows of both databases, the messages, and what stands in Redis."""
    folder.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as place:
        _keep_database(f"sqlite:///{place}/invoices.db", "sqlite", folder)
    with run_postgres() as server, new_postgres_database(server) as url:
        _keep_database(url, "postgresql", folder)
    write_messages(folder / "messages.jsonl")
    with run_valkey() as where, redis.Redis.from_url(where.redis_url) as client:
        build_keys(where.redis_url, where.broker_url, ENDPOINT_ID, held_message(HELD_ORDER))
        (folder / "redis.jsonl").write_text(dump_keys(client))


def _keep_database(url: str, kind: str, folder: Path) -> None:
    upgrade(url)
    database = Database(url)
    try:
        (folder / f"schema.{kind}.sql").write_text(read_shape(database))
        build_rows(database)
        (folder / f"rows.{kind}.sql").write_text(dump_rows(database))
    finally:
        database.close()


if __name__ == "__main__":
    target = RELEASES / revisions()[-1]
    if target.exists():
        sys.exit(f"{target.name} is kept already: what a release left behind does not change")
    keep(target)
