"""The settings of a PostgreSQL session that this code relies on, made on each new connection, whatever is preset.

Roles, databases, the server's configuration and libpq's variables (PGDATESTYLE, PGTZ, PGCLIENTENCODING, …) all have a
say in how a session begins. One odd setting, and times can't be read, rows are hidden, or a commit that was reported as
done is lost when the server loses power.

One is left as it is: `default_transaction_read_only`. Whoever sets it wants nothing to be written, before a failover
for instance; the database counts as away until it is off.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

import psycopg
from psycopg import IsolationLevel
from psycopg.rows import TupleRow

#: For any one lock. Our own transactions are over long before, and a deadlock is reported after a second: whatever
#: holds a lock for longer is an operator's session, or a host that stands still.
LOCK_WAIT_SECONDS = 2

#: A session has the first name until it is set up, and again after RESET ALL. The server reports each change of it.
_NEW, NAME = "invoices (connecting)", "invoices"

#: random_page_cost: the default of 4 is for spinning disks and makes the planner read whole tables for a batch of keys.
#: row_security: hidden rows would be orders that are not there; off, a query that would be filtered is an error.
SETTINGS: Mapping[str, str] = {
    "array_nulls": "on",
    "bytea_output": "hex",
    "client_encoding": "UTF8",
    "DateStyle": "ISO, MDY",
    "default_transaction_deferrable": "off",
    "default_transaction_isolation": "read committed",
    "extra_float_digits": "1",
    "idle_in_transaction_session_timeout": "60000",
    "idle_session_timeout": "0",
    "IntervalStyle": "postgres",
    "plan_cache_mode": "auto",
    "quote_all_identifiers": "off",
    "random_page_cost": "1.1",
    "row_security": "off",
    "standard_conforming_strings": "on",
    "statement_timeout": "30000",
    "TimeZone": "UTC",
    "transform_null_equals": "off",
}
#: Set only afterwards: a server may not know the name (transaction_timeout came with PostgreSQL 17), or an operator may
#: ask more of a commit than we do (remote_apply).
_LATER: Mapping[str, str] = {
    "application_name": NAME,
    "synchronous_commit": "on",
    "transaction_timeout": "0",
}
_STRONGER = {"stronger": "synchronous_commit", "than_on": "remote_apply"}

#: PostgreSQL tells at the start of a session whether it is one.
_STANDBY = "the server is a standby and takes no writes: name the primary, or all servers (host-a,host-b)"

#: Said by a pooler that takes no options: it gets none, and what is set afterwards has to do.
_NO_OPTIONS = "unsupported startup parameter"

#: Sets only what differs: a setting that the role may not change does no harm while it is right. Planner methods that
#: were switched off (enable_…) are switched on: without them a batch of keys might read whole tables.
_SET = """
SELECT pg_catalog.pg_backend_pid(), pg_catalog.count(pg_catalog.set_config(given.name, wanted.value, false))
FROM pg_catalog.pg_settings AS given JOIN (
  SELECT * FROM ROWS FROM (pg_catalog.unnest(%(names)s::text[]), pg_catalog.unnest(%(values)s::text[]))
    AS listed (name, value)
  UNION ALL
  SELECT name, boot_val FROM pg_catalog.pg_settings WHERE name LIKE 'enable\\_%%' AND vartype = 'bool'
    AND boot_val = 'on'
) AS wanted USING (name)
WHERE given.setting IS DISTINCT FROM wanted.value AND (given.name, given.setting) <> (%(stronger)s, %(than_on)s)
"""
#: Tables are named without a schema. The path is set to the schema where the session's own path finds our revision;
#: otherwise, before the first migration, to where that path creates tables; if it leads nowhere, to the only schema
#: that has our tables.
_SET_PATH = """
WITH ours AS (
  SELECT table_.oid, schema.nspname AS name
  FROM pg_catalog.pg_class AS table_ JOIN pg_catalog.pg_namespace AS schema ON schema.oid = table_.relnamespace
  WHERE table_.relname = 'alembic_version' AND table_.relkind IN ('r', 'p')
    AND schema.nspname NOT LIKE 'pg\\_%'
    AND EXISTS (SELECT FROM pg_catalog.pg_class AS beside
                WHERE beside.relnamespace = schema.oid AND beside.relname = 'agenda')
)
SELECT pg_catalog.set_config('search_path', pg_catalog.quote_ident(coalesce(
  (SELECT name FROM ours WHERE pg_catalog.pg_table_is_visible(oid)),
  (SELECT name FROM pg_catalog.current_schema() AS first (name) WHERE name NOT LIKE 'pg\\_%'),
  (SELECT pg_catalog.min(name) FROM ours HAVING pg_catalog.count(*) = 1), 'public')) || ', pg_temp', false)
"""


#: The driver's connection.
Session: TypeAlias = psycopg.Connection[TupleRow]


class UnfitDatabase(psycopg.OperationalError):
    """The database, or what this role may set there, is not fit for orders, and waiting won't change that."""


def connect(open_one: Callable[..., Session], arguments: Mapping[str, object]) -> Session:
    """A connection as the rest of the store expects it. Raises psycopg's errors, UnfitDatabase among them.

    ``open_one`` takes psycopg's ``arguments``, those of the URL among them: its own ``options`` come before ours.
    """
    # Options become the session's defaults, which RESET ALL returns to. libpq sends its variables too, and those win:
    # so everything is set once more afterwards.
    ours = " ".join(f"-c {name}={value.replace(' ', chr(92) + ' ')}" for name, value in _settings().items())
    options = f"{arguments.get('options') or ''} {ours}".strip()
    given = {**arguments, "client_encoding": "UTF8", "application_name": _NEW}
    if "host" in given:  # otherwise PGHOSTADDR would lead to another server than the URL's
        given.setdefault("hostaddr", "," * str(given["host"]).count(","))
    try:
        connection = open_one(**given | {"options": options})
    except psycopg.OperationalError as error:
        if _NO_OPTIONS not in str(error):
            raise
        connection = open_one(**given | {"options": ""})
    try:
        _require_primary(connection)
        prepare(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def prepare(connection: Session) -> None:
    """Set all that is relied on. The connection must not be in a transaction. Raises UnfitDatabase."""
    require_encoding(connection)
    wanted = {**_settings(), **_LATER}
    was = connection.autocommit
    connection.autocommit = True
    try:
        given = {"names": list(wanted), "values": list(wanted.values())} | _STRONGER
        ((pid, _),) = connection.execute(_SET, given).fetchall()
        connection.execute(_SET_PATH)
    except (psycopg.ProgrammingError, psycopg.DataError) as error:
        raise UnfitDatabase(f"the session can't be set up: {error}") from error
    finally:
        if not connection.closed:
            connection.autocommit = was
    if pid != connection.info.backend_pid:
        # A pooler answers: it may give every transaction another session, without the statements that were prepared.
        connection.prepare_threshold = None
    # Sent with each BEGIN, for the same reason.
    connection.isolation_level = IsolationLevel.READ_COMMITTED
    connection.deferrable = False


def is_prepared(connection: Session) -> bool:
    """Whether it still is: RESET ALL shows in the name. Costs nothing, since the server reports changes by itself."""
    reported = connection.info.parameter_status
    return all(reported(name) == value for name, value in _TOLD.items())


def require_encoding(connection: Session) -> None:
    """Raise UnfitDatabase for a database whose encoding can't hold every text."""
    found = connection.info.parameter_status("server_encoding")
    if found != "UTF8":
        raise UnfitDatabase(
            f"the database's encoding is {found}, and orders hold any text: make a database with "
            "`CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0 LOCALE 'C'` and name it in INVOICES_DATABASE_URL"
        )


def _require_primary(connection: Session) -> None:
    """Raise OperationalError for a standby: what is read there may be old, and nothing can be written."""
    if connection.info.parameter_status("in_hot_standby") == "on":
        raise psycopg.OperationalError(_STANDBY)


def _settings() -> dict[str, str]:
    return {**SETTINGS, "lock_timeout": str(LOCK_WAIT_SECONDS * 1000)}


#: Settings whose changes every server reports.
_TOLD = {"application_name": NAME} | {
    name: SETTINGS[name]
    for name in ("client_encoding", "DateStyle", "IntervalStyle", "standard_conforming_strings", "TimeZone")
}


def lasting_settings() -> dict[str, str]:
    """All that is set on a session, and the path. Behind a pooler that hands out transactions they have to be the
    role's defaults (`deploy/pgbouncer/role.sql`)."""
    return {name: value for name, value in {**_settings(), **_LATER}.items() if name != "application_name"}
