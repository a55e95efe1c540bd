"""The database, and what its rows say of everything else."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from workers.cli.context import open_database
from workers.cli.doctor.agenda import check_agenda, check_messages
from workers.cli.doctor.endpoints import check_endpoints
from workers.cli.doctor.finding import Finding
from workers.cli.doctor.orders import check_orders

if TYPE_CHECKING:
    from config.settings import Settings
    from workers.store.database import Database

#: A clock further off than this makes signatures look stale and expiries early or late.
CLOCK_LIMIT_SECONDS = 2.0


def check_database(config: Settings) -> Iterator[Finding]:
    """Its revision first: on a wrong one no other question makes sense."""
    from sqlalchemy.engine import make_url

    from workers.store.schema import SchemaTooOld, require_schema

    with open_database(config) as database:
        place = make_url(config.database_url).render_as_string(hide_password=True)
        try:
            standing = require_schema(database)
        except SchemaTooOld as error:
            yield Finding("database", "wrong", f"{place}: {error}", "schema", command="invoices migrate")
            return
        newer = f", newer than this release's {standing.head}" if standing.relation == "newer" else ""
        yield Finding("database", "ok", f"{place} at revision {standing.current}{newer}")
        yield from check_sessions(database)
        yield check_clock(database)
        yield from check_agenda(database, config)
        yield from check_orders(database, config)
        yield from check_messages(database)
        yield from check_endpoints(database, config)


def check_sessions(database: Database) -> Iterator[Finding]:
    """What workers set for a session, synchronous commits among it, must be theirs for as long as they have it."""
    from workers.store.session import is_pooled

    if database.is_postgresql and is_pooled(database):
        detail = "a pooler hands out transactions: what workers set for a session does not hold, commits may be lost"
        yield Finding(
            "database", "wrong", f"{detail}: connect directly, or let it pool sessions", "pooled_transactions"
        )


def check_clock(database: Database) -> Finding:
    """How far this host is from the database, whose time decides."""
    with database.reading() as connection:
        began = time.monotonic()
        theirs = database.now(connection)
        middle = (time.monotonic() - began) / 2
    off = (datetime.now(UTC) - theirs).total_seconds() - middle
    said = f"this host is {off:+.3f} s from the database"
    if abs(off) <= CLOCK_LIMIT_SECONDS:
        return Finding("clock", "ok", said)
    advice = f"more than {CLOCK_LIMIT_SECONDS:g} s, synchronise the clocks (NTP)"
    return Finding("clock", "wrong", f"{said}: {advice}", "clock_skew")
