"""What this code relies on in a PostgreSQL session, set on each new connection: nothing is left to the surroundings.

Roles, databases, the server's file and libpq's variables (PGDATESTYLE, PGTZ, PGCLIENTENCODING, …) all have a say in how
a session begins. With one odd setting among them times can't be read, rows are hidden, or a commit that was told as
done is lost with the server's power.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

import psycopg
from psycopg import IsolationLevel
from psycopg.rows import TupleRow

#: PostgreSQL, for any one lock. Our own transactions are over long before, and the one that a deadlock ends is told
#: after a second: who holds a lock for longer is an operator's session, or a host that stands still.
LOCK_WAIT_SECONDS = 2

#: A session goes by the first name until it is set up, and again after RESET ALL; the server tells each change of it.
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
    "default_transaction_read_only": "off",
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
#: Not what a session begins with: a server may not know the name (transaction_timeout is PostgreSQL 17's), and of a
#: commit an operator may ask for more than we do, that standbys show it.
_LATER: Mapping[str, str] = {
    "application_name": NAME,
    "synchronous_commit": "on",
    "transaction_timeout": "0",
}
_STRONGER = {"stronger": "synchronous_commit", "than_on": "remote_apply"}

#: A pooler that takes no options: it gets none, and what is set afterwards has to do.
_NO_OPTIONS = "unsupported startup parameter"

#: Only what differs, so that what a role may not set is no matter while it is right. Planner methods that were
#: switched off (enable_…) are on again: a batch of keys would read whole tables.
_SET = """
SELECT pg_catalog.count(pg_catalog.set_config(given.name, wanted.value, false))
FROM pg_catalog.pg_settings AS given JOIN (
  SELECT * FROM ROWS FROM (pg_catalog.unnest(%(names)s::text[]), pg_catalog.unnest(%(values)s::text[]))
    AS listed (name, value)
  UNION ALL
  SELECT name, boot_val FROM pg_catalog.pg_settings WHERE name LIKE 'enable\\_%%' AND vartype = 'bool'
    AND boot_val = 'on'
) AS wanted USING (name)
WHERE given.setting IS DISTINCT FROM wanted.value AND (given.name, given.setting) <> (%(stronger)s, %(than_on)s)
"""
#: Tables are named without a schema: in the one where the session's own path finds our revision; else, before the first
#: migration, where that path makes new tables. One that leads nowhere says nothing: then in the only one that has ours.
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
    """The database, or what this role may set there, is not fit for orders, and waiting does not mend it."""


def connect(open_one: Callable[..., Session], arguments: Mapping[str, object]) -> Session:
    """A connection as the rest of the store expects it. Raises psycopg's errors, UnfitDatabase among them.

    ``open_one`` takes psycopg's ``arguments``, those of the URL among them: its own ``options`` come before ours.
    """
    # Options are the session's own defaults, which RESET ALL comes back to. libpq sends its variables beside them, and
    # those win; so all is set once more afterwards.
    ours = " ".join(f"-c {name}={value.replace(' ', chr(92) + ' ')}" for name, value in _settings().items())
    options = f"{arguments.get('options') or ''} {ours}".strip()
    given = {**arguments, "client_encoding": "UTF8", "application_name": _NEW}
    if "host" in given:
        given.setdefault("hostaddr", "")  # else PGHOSTADDR would lead to another server than the URL's
    try:
        connection = open_one(**given | {"options": options})
    except psycopg.OperationalError as error:
        if _NO_OPTIONS not in str(error):
            raise
        connection = open_one(**given | {"options": ""})
    try:
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
        connection.execute(_SET, {"names": list(wanted), "values": list(wanted.values())} | _STRONGER)
        connection.execute(_SET_PATH)
    except (psycopg.ProgrammingError, psycopg.DataError) as error:
        raise UnfitDatabase(f"the session can't be set up: {error}") from error
    finally:
        if not connection.closed:
            connection.autocommit = was
    # Said with each BEGIN: a pooler may hand every transaction to another session.
    connection.isolation_level = IsolationLevel.READ_COMMITTED
    connection.read_only = False
    connection.deferrable = False


def is_prepared(connection: Session) -> bool:
    """Whether it still is: RESET ALL shows in the name. Costs nothing, the server tells of changes by itself."""
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


def _settings() -> dict[str, str]:
    return {**SETTINGS, "lock_timeout": str(LOCK_WAIT_SECONDS * 1000)}


#: Settings of which every server tells each change.
_TOLD = {"application_name": NAME} | {
    name: SETTINGS[name]
    for name in ("client_encoding", "DateStyle", "IntervalStyle", "standard_conforming_strings", "TimeZone")
}
