"""`python -m tests.supply.roles_sql > deploy/sql/roles.sql`: the roles and what they may do, as SQL for psql."""

from __future__ import annotations

from collections.abc import Iterator

from workers.store.grants import ROLES, statements

HEAD = """\
-- Four roles for PostgreSQL, each with exactly what its processes need (made from workers/store/grants.py):
--   invoices_intake   intake
--   invoices_worker   worker
--   invoices_web      web, and the commands that people use
--   invoices_read     people who only look; no column that holds a secret
-- `migrate`, `restored`, `archive` and `move` run as the owner of the tables; beat uses no database.
--
-- Run it once, after the first `invoices migrate`, as the owner of the tables, who must be allowed to create roles:
--   psql -v ON_ERROR_STOP=1 -f deploy/sql/roles.sql postgresql://OWNER@HOST/DATABASE
-- From then on `invoices migrate` grants the same after each migration. It may be run again at any time.
-- Processes log in as members, so that a password is changed by adding a second login:
--   CREATE ROLE shop_intake LOGIN PASSWORD '…' IN ROLE invoices_intake;
"""
CREATE = """\
DO $$ BEGIN
  CREATE ROLE {role} NOLOGIN;
EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
END $$;"""
#: Before PostgreSQL 15 everybody might make tables where the search path looks first.
CLOSE = "DO $$ BEGIN EXECUTE format('REVOKE CREATE ON SCHEMA %I FROM PUBLIC', current_schema()); END $$"


def roles_sql() -> str:
    """The whole file."""
    return "\n".join(_parts()) + "\n"


def _parts() -> Iterator[str]:
    yield HEAD
    yield "BEGIN;"
    yield from (CREATE.format(role=role) for role in ROLES)
    yield f"{CLOSE};"
    yield from (f"{statement};" for statement in statements(ROLES))
    yield "COMMIT;"


if __name__ == "__main__":
    print(roles_sql(), end="")
