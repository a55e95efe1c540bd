"""What each kind of process may do in PostgreSQL: exactly what it needs, as one table. `deploy/sql/roles.sql` is made
of it. Where that file was run once, ``invoices migrate`` grants the same after each migration.

A login is a member of one of the roles, so that its password can be changed for another login's without a pause.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import Connection, Table, text

from workers.store.tables import plain

INTAKE, WORKER, WEB, READ = ROLES = ("invoices_intake", "invoices_worker", "invoices_web", "invoices_read")

_TABLES: Sequence[Table] = [getattr(plain, name) for name in plain.__all__]

#: Columns that hold a secret, or what it is checked by: nobody reads them but who has to.
SECRET_COLUMNS: Mapping[str, tuple[str, ...]] = {
    "endpoint": ("secrets", "headers", "sealed_headers"),
    "access_token": ("hash",),
    "console_person": ("password",),
    "console_session": ("hash",),
    "console_link": ("hash",),
    "console_attempt": ("key",),  # of what was typed as a name, which may have been a password
}


def _readable(table: Table) -> str:
    hidden = SECRET_COLUMNS.get(table.name)
    shown = [column.name for column in table.columns if column.name not in (hidden or ())]
    return f"SELECT ({', '.join(shown)})" if hidden else "SELECT"


#: Alembic's own table, which says the revision.
REVISION = "alembic_version"

#: role -> table -> what `GRANT … ON table TO role` names. A table that is missing here may not be touched at all.
GRANTS: Mapping[str, Mapping[str, str]] = {
    INTAKE: {
        REVISION: "SELECT",
        "invoice": "SELECT, INSERT, UPDATE",
        "evidence": "SELECT, INSERT, UPDATE (repeats, last_at)",
        "payment": "SELECT, INSERT, UPDATE",
        "agenda": "SELECT, INSERT, UPDATE, DELETE",
        "clock": "SELECT",
        "restoration": "SELECT",
        "event": "SELECT, INSERT",
        "endpoint": "SELECT (id, events, accounts)",
        "delivery": "INSERT",
        # A cancelled invoice gives back the callbacks that nobody could ask about.
        "callback": "SELECT (id, account, order_id, reference, at, state, invoice_id), "
        "UPDATE (state, invoice_id, reason)",
        "rejected_message": "SELECT, INSERT",
        "process_seen": "SELECT, INSERT, UPDATE, DELETE",
    },
    WORKER: {
        REVISION: "SELECT",
        "invoice": "SELECT, UPDATE",
        "evidence": "SELECT, INSERT, DELETE, UPDATE (repeats, last_at)",
        "payment": "SELECT, INSERT, UPDATE",
        "agenda": "SELECT, INSERT, UPDATE, DELETE",
        "clock": "SELECT, INSERT, UPDATE",
        "kept_answer": "SELECT, INSERT, UPDATE, DELETE",
        "restoration": "SELECT",
        "event": "SELECT, INSERT, UPDATE (published_at, positioned), DELETE",
        "event_log": "SELECT, UPDATE",
        "event_position": "SELECT, INSERT, DELETE",
        "endpoint": "SELECT, UPDATE (disabled_at, disabled_reason)",
        "delivery": "SELECT, INSERT, UPDATE, DELETE",
        "delivery_attempt": "SELECT, INSERT, DELETE",
        "callback": "SELECT, UPDATE, DELETE",
        "forged_callback": "SELECT, DELETE",
        "rejected_message": "SELECT, INSERT, DELETE",
        "provider_drift": "SELECT, INSERT",
        "drift_invoice": "SELECT, INSERT",
        "process_seen": "SELECT, INSERT, UPDATE, DELETE",
    },
    WEB: {
        REVISION: "SELECT",
        "invoice": "SELECT, INSERT, UPDATE",
        "evidence": "SELECT, INSERT, UPDATE (repeats, last_at)",
        "payment": "SELECT, INSERT, UPDATE",
        "agenda": "SELECT, INSERT, UPDATE, DELETE",
        "clock": "SELECT",
        "restoration": "SELECT",
        # The one column is for FOR KEY SHARE: a replay keeps the retention from its events.
        "event": "SELECT, INSERT, UPDATE (positioned)",
        "event_log": "SELECT",
        "event_position": "SELECT",
        "endpoint": "SELECT, INSERT, UPDATE, DELETE",
        "delivery": "SELECT, INSERT, UPDATE, DELETE",
        "delivery_attempt": "SELECT, DELETE",
        "callback": "SELECT, INSERT, UPDATE",
        "forged_callback": "SELECT, INSERT, DELETE",
        "rejected_message": "SELECT, UPDATE",
        "provider_drift": "SELECT, UPDATE (accepted_at)",
        "drift_invoice": "SELECT",
        "operator_act": "SELECT, INSERT",
        "access_token": "SELECT, INSERT, UPDATE (last_used_at, revoked_at)",
        "replay_job": "SELECT, INSERT, UPDATE, DELETE",
        "bulk_job": "SELECT, INSERT, UPDATE, DELETE",
        "bulk_failure": "SELECT, INSERT, DELETE",
        "process_seen": "SELECT, INSERT, UPDATE, DELETE",
        "console_person": "SELECT, INSERT, UPDATE, DELETE",
        "console_session": "SELECT, INSERT, UPDATE, DELETE",
        "console_link": "SELECT, INSERT, UPDATE, DELETE",
        "console_attempt": "SELECT, INSERT, UPDATE, DELETE",
    },
    READ: {REVISION: "SELECT"} | {table.name: _readable(table) for table in _TABLES},
}


class Right(NamedTuple):
    """One thing that a role may do."""

    role: str
    privilege: str
    object: str
    column: str | None = None


def rights(role: str) -> Iterator[Right]:
    """All that it has to have, but the use of the schema."""
    for table, granted in GRANTS[role].items():
        for part in granted.split("), ") if "(" in granted else [granted]:
            yield from _rights_in(role, table, part.rstrip(")"))
        if "INSERT" in granted and table in SEQUENCES:
            yield Right(role, "USAGE", SEQUENCES[table])


def _rights_in(role: str, table: str, part: str) -> Iterator[Right]:
    """``SELECT, UPDATE (a, b``: what stands before the last comma goes for the whole table."""
    plain, _, columns = part.partition(" (")
    *whole, last = plain.split(", ")
    if not columns:
        whole.append(last)
    yield from (Right(role, privilege, table) for privilege in whole)
    yield from (Right(role, last, table, column) for column in columns.split(", ") if column)


#: Where a table's numbers come from: whoever inserts there takes one.
SEQUENCES: Mapping[str, str] = {
    table.name: f"{table.name}_{column.name}_seq"
    for table in _TABLES
    if (column := table.autoincrement_column) is not None
}


def statements(roles: Sequence[str]) -> Iterator[str]:
    """SQL that takes all of ours from these roles and grants what they need; for the owner, in one transaction."""
    whom, every = ", ".join(roles), ", ".join([REVISION, *(table.name for table in _TABLES)])
    yield f"REVOKE ALL ON {every} FROM {whom}"
    yield f"REVOKE ALL ON SEQUENCE {', '.join(SEQUENCES.values())} FROM {whom}"
    yield f"DO $$ BEGIN EXECUTE format('GRANT USAGE ON SCHEMA %I TO {whom}', current_schema()); END $$"
    for role in roles:
        for table, granted in GRANTS[role].items():
            yield f"GRANT {granted} ON {table} TO {role}"
        numbered = [right.object for right in rights(role) if right.privilege == "USAGE"]
        if numbered:
            yield f"GRANT USAGE ON SEQUENCE {', '.join(numbered)} TO {role}"


#: Roles are the server's: another installation's must not be let into this database. Whoever was let in can see the
#: revision.
_LET_IN = text("""
SELECT rolname FROM pg_roles
WHERE rolname = ANY (:roles) AND has_table_privilege(rolname, 'alembic_version', 'SELECT')
""")
_LACKING = text("""
SELECT wanted.role, wanted.privilege, wanted.object, wanted.column_name
FROM ROWS FROM (unnest(CAST(:roles AS text[])), unnest(CAST(:privileges AS text[])), unnest(CAST(:objects AS text[])),
  unnest(CAST(:columns AS text[]))) AS wanted (role, privilege, object, column_name)
WHERE NOT CASE
  WHEN wanted.privilege = 'USAGE' THEN has_sequence_privilege(wanted.role, wanted.object, 'USAGE')
  WHEN wanted.column_name IS NULL THEN has_table_privilege(wanted.role, wanted.object, wanted.privilege)
  ELSE has_column_privilege(wanted.role, wanted.object, wanted.column_name, wanted.privilege) END
""")


def known_roles(connection: Connection) -> list[str]:
    """Those of ours that roles.sql has let into this database, in our order; none on SQLite."""
    if connection.dialect.name != "postgresql":
        return []
    found = set(connection.execute(_LET_IN, {"roles": list(ROLES)}).scalars())
    return [role for role in ROLES if role in found]


def lacking(connection: Connection) -> list[Right]:
    """What those roles need and do not have. The database must be at this code's revision."""
    wanted = [right for role in known_roles(connection) for right in rights(role)]
    if not wanted:
        return []
    roles, privileges, objects, columns = map(list, zip(*wanted, strict=True))
    given = {"roles": roles, "privileges": privileges, "objects": objects, "columns": columns}
    return [Right(*row) for row in connection.execute(_LACKING, given)]


def grant(connection: Connection) -> bool:
    """Give those roles what they need; whether there are any. In the caller's transaction, as the owner."""
    roles = known_roles(connection)
    for statement in statements(roles) if roles else ():
        connection.execute(text(statement))
    return bool(roles)
