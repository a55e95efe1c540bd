"""How long a move from SQLite to PostgreSQL takes, and how much memory."""

from __future__ import annotations

import resource
import tempfile
import time
from contextlib import closing

from sqlalchemy import text

from tests.engines import new_postgres_database
from tests.sizing.load import load, open_store
from workers.store.acts import Actor
from workers.store.operate.moving import move_into, survey
from workers.store.schema import upgrade

_TWICE = text("""
INSERT INTO evidence (invoice_id, at, kind, detail, raw, verdict, source)
SELECT invoice_id, at, kind, detail, raw, verdict, source FROM evidence LIMIT :more
""")


def tell_move(server: str, rows: int) -> None:
    """Of a few thousand orders with more and more evidence, about the average of all rows, until there are so many."""
    with tempfile.TemporaryDirectory() as folder, new_postgres_database(server) as target:
        url = f"sqlite:///{folder}/invoices.db"
        upgrade(url)
        upgrade(target)
        with closing(open_store(url)) as store:
            load(store, 1000)
            while (there := survey(store.database).rows) < rows:
                with store.database.transaction() as connection:
                    connection.execute(_TWICE, {"more": rows - there})
            began, computed = time.monotonic(), time.process_time()
            moved = move_into(store.database, target, Actor("sizing", "tests"), lambda *_: None)
            seconds, computed = time.monotonic() - began, time.process_time() - computed
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    whose = f"{computed:.0f} s of them this process's; at most {peak:.0f} MB of memory"
    print(f"\nmoved {sum(one.rows for one in moved):,} rows in {seconds:.0f} s, {whose}")
