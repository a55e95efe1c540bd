"""What `python -m tests.bench.large` fills is a database of ours: keys and indexes are there, rows fit together."""

from __future__ import annotations

import contextlib

import psycopg
import pytest

from tests.bench.large.filling import fill
from tests.bench.large.works import Round
from tests.bench.large.writes import Counting
from tests.engines import MissingEngineError, new_postgres_database, run_postgres
from tests.sizing.load import load, open_store
from workers.store.schema import upgrade

INDEXES = "SELECT tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' AND tablename <> 'step'"
LOST = """
SELECT count(*) FROM event FULL JOIN delivery ON event_number = number
  FULL JOIN event_position p ON p.event_number = number
  LEFT JOIN delivery_attempt a ON a.delivery_id = delivery.id LEFT JOIN invoice ON invoice.id = event.invoice_id
WHERE event.number IS NULL OR a.id IS NULL OR p.position IS NULL OR invoice.id IS NULL
"""


@pytest.fixture
def url():
    with contextlib.ExitStack() as stack:
        try:
            server = stack.enter_context(run_postgres({"wal_level": "minimal", "max_wal_senders": "0"}))
        except MissingEngineError as error:
            pytest.skip(str(error))
        yield stack.enter_context(new_postgres_database(server))


@pytest.mark.engines
def test_a_filling_that_is_broken_off_goes_on_and_leaves_a_database_that_works(url):
    upgrade(url)
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        indexes = set(connection.execute(INDEXES).fetchall())
        times = 0
        while not fill(url, 8000, 0.5, minutes=0):  # a step each
            times += 1
        assert times > len(indexes) / 2
        assert set(connection.execute(INDEXES).fetchall()) == indexes
        counted = "SELECT (SELECT count(*) FROM invoice), (SELECT count(*) FROM event), (SELECT count(*) FROM evidence)"
        assert connection.execute(counted).fetchone() == (8000, 4000 * 2.7, 4000 * 2.7)
        assert connection.execute(LOST).fetchone() == (0,)
    with contextlib.closing(open_store(url)) as store:
        for _, work in Round(store, rounds=1).works():
            work()
        counting = Counting(store)
        load(store, 10)
        written = {one.name: one for one in counting.written(10)}
    assert written["event"].added == written["event"].changed == 2.7
    assert (written["invoice"].added, written["invoice"].removed) == (1, 0)
    assert written["invoice"].rows > written["payment"].rows > 0
