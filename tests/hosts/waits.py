"""What PostgreSQL's busy connections wait for, looked at many times a second."""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from collections.abc import Iterator

import psycopg

LOOK_SECONDS = 0.05
LOOK = """
SELECT coalesce(wait_event_type || ': ' || wait_event, 'CPU') FROM pg_stat_activity
WHERE datname = current_database() AND state = 'active' AND pid <> pg_backend_pid()
"""
COUNT = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"


class Waits:
    """What was seen; ``connections``: the most at once."""

    def __init__(self) -> None:
        self.seen: Counter[str] = Counter()
        self.connections = 0

    def shares(self, most: int = 4) -> list[tuple[str, float]]:
        """The most frequent, with their share of all looks at a busy connection."""
        total = sum(self.seen.values()) or 1
        return [(name, number / total) for name, number in self.seen.most_common(most)]


@contextlib.contextmanager
def watched_waits(url: str) -> Iterator[Waits]:
    """Look for the length of the block."""
    waits, over = Waits(), threading.Event()

    def look() -> None:
        with psycopg.connect(url, autocommit=True) as connection:
            while not over.wait(LOOK_SECONDS):
                waits.seen.update(row[0] for row in connection.execute(LOOK))
                row = connection.execute(COUNT).fetchone()
                waits.connections = max(waits.connections, row[0] if row else 0)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield waits
    finally:
        over.set()
        thread.join()
