"""Each kind of process with a login of its own, which may do what its role may and nothing else."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Mapping
from pathlib import Path

import psycopg
from psycopg import sql
from sqlalchemy.engine import URL, make_url

from tests.pgbouncer import set_role
from workers.store.grants import INTAKE, READ, WEB, WORKER

ROOT = Path(__file__).resolve().parents[1]
ROLES_SQL = ROOT / "deploy/sql/roles.sql"
#: In the environment: 1 gives every process that a test starts on PostgreSQL a login of its own (`make roles`).
ASKED = "INVOICES_TEST_ROLES"
#: In the environment: a server for all tests. With logins, also for those that name no database.
SERVER = "INVOICES_TEST_POSTGRES_URL"
#: In the environment: the file that says whose logins are which, for `tests/rights_used.py`.
CATALOGUE = "INVOICES_TEST_CATALOGUE"
#: Who logs in -> the role that they are members of. Beat uses no database: its login may do nothing.
MEMBERS: Mapping[str, str | None] = {
    "intake": INTAKE,
    "worker": WORKER,
    "web": WEB,
    "people": WEB,
    "reader": READ,
    "beat": None,
}

_COLUMNS = """
SELECT c.oid, c.relname, a.attnum, a.attname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p') AND a.attnum > 0
"""


class Logins:
    """For one database, whose owner's address is given. The server must take them without passwords.

    ``are_pooled``: they come through a pooler, so that sessions' settings are defaults of theirs. ``stay``: the server
    ends with them.
    """

    def __init__(self, owner_url: str, *, are_pooled: bool = False, stay: bool = False) -> None:
        self._owner: URL = make_url(owner_url)
        self._are_pooled = are_pooled
        self._stay = stay
        self._suffix = uuid.uuid4().hex[:8]

    def create(self) -> None:
        """As the owner, by the file that operators run. The tables must be there."""
        with self.connect() as connection:
            connection.execute(ROLES_SQL.read_text().encode())
            for who, role in MEMBERS.items():
                name = sql.Identifier(self._name(who))
                connection.execute(sql.SQL("CREATE ROLE {} LOGIN").format(name))
                if role is not None:
                    connection.execute(sql.SQL("GRANT {} TO {}").format(sql.Identifier(role), name))
                    if self._are_pooled:
                        set_role(self.url(who))
            if CATALOGUE in os.environ:
                self._have_rights_told(connection, Path(os.environ[CATALOGUE]))

    def _have_rights_told(self, connection: psycopg.Connection, catalogue: Path) -> None:
        """From now on the server logs which rights each statement of theirs takes."""
        for name in self.names():
            for setting in ("debug_print_parse = on", "debug_pretty_print = off"):
                query = sql.SQL("ALTER ROLE {} SET {}").format(sql.Identifier(name), sql.SQL(setting))
                connection.execute(query)
        tables: dict[str, tuple[str, dict[str, str]]] = {}
        for table, name, number, column in connection.execute(_COLUMNS):
            tables.setdefault(str(table), (name, {}))[1][str(number)] = column
        logins = {self._name(who): role for who, role in MEMBERS.items() if role is not None}
        with catalogue.open("a") as file:
            file.write(json.dumps({"logins": logins, "tables": tables}) + "\n")

    def drop(self) -> None:
        """They are the server's, not the database's. Harmless if there are none."""
        if self._stay:
            return
        with self.connect() as connection:
            for who in MEMBERS:
                connection.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(sql.Identifier(self._name(who))))

    def names(self) -> set[str]:
        """Of all of them."""
        return {self._name(who) for who in MEMBERS}

    def url(self, who: str) -> str:
        """The database's address for one of them."""
        return self._owner.set(username=self._name(who)).render_as_string(hide_password=False)

    def connect(self, who: str | None = None) -> psycopg.Connection:
        """A session of one of them; of the owner."""
        url = self._owner if who is None else self._owner.set(username=self._name(who))
        plain = url.set(drivername="postgresql").render_as_string(hide_password=False)
        return psycopg.connect(plain, autocommit=True)

    def _name(self, who: str) -> str:
        return f"{who}_{self._suffix}"


def asked_for(owner_url: str | None, *, are_pooled: bool = False, stay: bool = False) -> Logins | None:
    """Logins for a database that is PostgreSQL's, if the environment asks for them."""
    if os.environ.get(ASKED) != "1" or owner_url is None or not owner_url.startswith("postgresql"):
        return None
    return Logins(owner_url, are_pooled=are_pooled, stay=stay)
