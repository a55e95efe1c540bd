"""The database: its revision, whether it takes writes, its clock, and what its rows say about everything else."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING

from workers.cli.context import open_database, sqlite_path
from workers.cli.doctor.agenda import check_agenda
from workers.cli.doctor.archive import check_archive
from workers.cli.doctor.callbacks import check_callbacks
from workers.cli.doctor.drift import check_drift
from workers.cli.doctor.endpoints import check_endpoints
from workers.cli.doctor.finding import Finding, State, ago, counted, told
from workers.cli.doctor.guard import Check, guarded
from workers.cli.doctor.messages import check_messages
from workers.cli.doctor.orders import check_orders
from workers.cli.doctor.restored import check_restored
from workers.cli.doctor.steps import check_steps
from workers.cli.doctor.stream import check_stream

if TYPE_CHECKING:
    from config.settings import Settings
    from workers.store.database import Database

#: A clock further off than this makes signatures look stale and expiries early or late.
CLOCK_LIMIT_SECONDS = 2.0
#: Our own transactions are far shorter: a session that keeps locks for longer than this holds up others.
LONG_LOCK_SECONDS = 30
#: The share of PostgreSQL's connections beyond which new processes may find none.
NEARLY_ALL = 0.9
#: Free bytes beside an SQLite file: wrong below the first, a note below the second. With none left orders wait.
ROOM, LITTLE_ROOM = 100_000_000, 1_000_000_000


def check_database(config: Settings) -> Iterator[Finding]:
    """Its revision first: with a wrong one no other check makes sense."""
    from workers.store.database import without_password
    from workers.store.release import SchemaTooOld, require_release

    with open_database(config, of_any_release=True) as database:
        place = without_password(config.database_url)
        try:
            standing = database.read(require_release)
        except SchemaTooOld as error:
            yield Finding("database", "wrong", f"{place}: {error}", "schema", command="invoices migrate")
            return
        newer = f", newer than this release's {standing.head}" if standing.relation == "newer" else ""
        yield from _guarded_server(database, f"{place} at revision {standing.current}{newer}")
        for check, run in _parts(database, config):
            yield from guarded(check, run)


def _parts(database: Database, config: Settings) -> list[tuple[str, Check]]:
    return [
        ("database", partial(check_sessions, database)),
        ("database", partial(check_rights, database)),
        ("clock", partial(check_clock, database)),
        ("clock", partial(check_steps, database, config)),
        ("disk", partial(check_disk, config)),
        ("privacy", partial(check_privacy, config)),
        ("agenda", partial(check_agenda, database, config)),
        ("accounts", partial(check_orders, database, config)),
        ("accounts", partial(check_callbacks, database, config)),
        ("accounts", partial(check_drift, database)),
        ("messages", partial(check_messages, database)),
        ("stream", partial(check_stream, database, config)),
        ("restored", partial(check_restored, database, config)),
        ("archive", partial(check_archive, database, config)),
        ("endpoints", partial(check_endpoints, database, config)),
    ]


def _guarded_server(database: Database, said: str) -> Iterator[Finding]:
    found = list(guarded("database", partial(check_server, database)))
    yield from found
    if not any(finding.state == "wrong" for finding in found):
        yield Finding("database", "ok", f"{said}, takes writes")


def check_server(database: Database) -> Iterator[Finding]:
    """Whether it takes writes; on PostgreSQL also how many connections are in use, and who keeps locks."""
    from workers.store.database import ANY_FAILURE
    from workers.store.reads.server import read_holders, read_server, try_to_write

    if database.is_postgresql:
        now, server = database.time(), database.read(read_server)
        holders = database.read(read_holders, LONG_LOCK_SECONDS)
        if server.is_standby:
            yield Finding("database", "wrong", "is a standby, it takes no writes: name the primary", "read_only")
        if server.connections >= server.most_connections * NEARLY_ALL:
            detail = f"{server.connections} of its {server.most_connections} connections are in use"
            yield Finding("database", "wrong", detail, "connections", count=server.connections)
        for holder in holders:
            who = f"PostgreSQL's process {holder.pid} ({holder.name}, from {holder.host}, {holder.state})"
            detail = f"{who} has kept locks for {ago(holder.since, now)}"
            if holder.waiting:
                detail += f", {counted(holder.waiting, 'session waits', 'sessions wait')} for it"
            command = f"SELECT pg_terminate_backend({holder.pid})"
            state: State = "wrong" if holder.waiting else "note"
            yield Finding("database", state, detail, "locks", holder.since, holder.waiting, command)
        if server.is_standby:
            return
    try:
        try_to_write(database)
    except ANY_FAILURE as error:
        yield Finding("database", "wrong", f"takes no writes: {told(error)}", "read_only")


def check_sessions(database: Database) -> Iterator[Finding]:
    """Workers' session settings, synchronous commits among them, must hold for as long as they have the session."""
    from workers.store.reads.server import is_pooled, read_odd_defaults

    if not database.is_postgresql or not is_pooled(database):
        return
    odd = database.read(read_odd_defaults)
    if not odd:
        yield Finding("database", "ok", "a pooler hands out transactions, and the role has the settings that count")
        return
    detail = f"a pooler hands out transactions: what we set for a session does not hold ({', '.join(odd)})"
    advice = f"{detail}: make it the role's defaults, or let it pool sessions; then RECONNECT"
    yield Finding(
        "database", "wrong", advice, "pooled_transactions", command="invoices files pgbouncer/role.sql | psql"
    )


def check_rights(database: Database) -> Iterator[Finding]:
    """Whether the roles that processes log in as may do all that this release does."""
    from workers.store.grants import lacking

    found = database.read(lacking) if database.is_postgresql else []
    if found:
        first = found[0]
        more = f", and {counted(len(found) - 1, 'more right')} are missing" if len(found) > 1 else ""
        detail = f"{first.role} may not {first.privilege} on {first.object}{more}: let the tables' owner migrate"
        yield Finding("database", "wrong", detail, "rights", count=len(found), command="invoices migrate")


def check_clock(database: Database) -> Iterator[Finding]:
    """How far this host's clock is from the database's, which decides."""
    from workers.store.reads.server import read_skew

    off = database.read(read_skew, database)
    said = f"this host is {off:+.3f} s from the database"
    if abs(off) <= CLOCK_LIMIT_SECONDS:
        yield Finding("clock", "ok", said)
        return
    advice = f"more than {CLOCK_LIMIT_SECONDS:g} s, synchronise the clocks (NTP)"
    yield Finding("clock", "wrong", f"{said}: {advice}", "clock_skew")


def check_privacy(config: Settings) -> Iterator[Finding]:
    """Whether other users may read what the embedded defaults keep, apart from files whose mode is corrected on use."""
    from workers.embedded.home import is_open_to_others
    from workers.store.private_files import open_to_others

    path = sqlite_path(config.database_url)
    found = [] if path is None else open_to_others(path)
    if found:
        detail = f"others on this machine may read {', '.join(map(str, found))}"
        command = f"chmod 600 {' '.join(map(str, found))}"
        yield Finding("privacy", "note", detail, "open_to_others", count=len(found), command=command)
    if config.embedded_database and config.home.is_dir() and is_open_to_others(config.home):
        detail = f"others on this machine may enter {config.home}, which holds other files too"
        yield Finding("privacy", "note", detail, "open_to_others", command=f"chmod 700 {config.home}")


def check_disk(config: Settings) -> Iterator[Finding]:
    """The disks that SQLite and the embedded Valkey write to; other servers' disks can't be seen."""
    path = sqlite_path(config.database_url)
    folders = set() if path is None else {path.parent}
    if config.embedded_broker:
        folders.add(config.home)
    for folder in sorted(folders):
        free = shutil.disk_usage(folder).free
        if free < LITTLE_ROOM:
            detail = f"only {free / 1e6:,.0f} MB are free in {folder}; with none left orders wait"
            yield Finding("disk", "wrong" if free < ROOM else "note", detail, "disk_full", count=free)
