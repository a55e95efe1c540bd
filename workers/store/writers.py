"""Adding or removing an endpoint waits for transactions that may have read the endpoints before.

Events are written without a lock on any endpoint, because an endpoint that somebody keeps locked must hold up no
invoice. So a transaction under way may have read a list that is out of date. It has a transaction number already (it
locked its invoices first), and PostgreSQL tells every session which numbers are still running.
"""

from __future__ import annotations

import time

from sqlalchemy import bindparam, text
from sqlalchemy.types import ARRAY, String

from workers.store.database import Database
from workers.store.session import NAME

PATIENCE_SECONDS = 30.0  #: our transactions end sooner; a single statement is cancelled after as long
_STEP_SECONDS = 0.02

# Only our own: an outsider's session, hours long perhaps, writes no events. Every role is shown their names.
_RUNNING = text("""
SELECT locks.transactionid::text FROM pg_locks AS locks JOIN pg_stat_activity AS activity USING (pid)
WHERE locks.locktype = 'transactionid' AND locks.mode = 'ExclusiveLock' AND locks.granted
  AND activity.datname = current_database() AND activity.application_name = :name
  AND locks.pid <> pg_backend_pid()
""")
_STILL_RUNNING = text("""
SELECT count(*) FROM pg_locks
WHERE locktype = 'transactionid' AND mode = 'ExclusiveLock' AND granted AND transactionid::text = ANY (:numbers)
""").bindparams(bindparam("numbers", type_=ARRAY(String)))


def wait_for_writers(database: Database, patience_seconds: float = PATIENCE_SECONDS) -> bool:
    """Wait until every writing transaction of ours that is under way now has ended; False if one takes too long.

    To be called after the commit of what they may have missed. SQLite has one writer at a time: there are no others.
    """
    if not database.is_postgresql:
        return True
    until = time.monotonic() + patience_seconds
    with database.glancing() as connection:
        numbers = list(connection.execute(_RUNNING, {"name": NAME}).scalars())
        while numbers and connection.execute(_STILL_RUNNING, {"numbers": numbers}).scalar_one():
            if time.monotonic() >= until:
                return False
            time.sleep(_STEP_SECONDS)
    return True
