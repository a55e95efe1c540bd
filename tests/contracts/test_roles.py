"""Roles at a real PostgreSQL: the file grants what the table says, and a migration keeps it so."""

from __future__ import annotations

import contextlib

import pytest
from sqlalchemy import text

from tests.engines import new_postgres_database
from tests.least_privilege import ROLES_SQL, Logins
from workers.cli.doctor.database import check_rights
from workers.store.database import Database
from workers.store.grants import INTAKE, READ, ROLES, SEQUENCES, WORKER, Right, known_roles, lacking, rights
from workers.store.schema import revisions, upgrade

pytestmark = [pytest.mark.engines, pytest.mark.timeout(600)]


@pytest.fixture
def url(postgres_url, postgres_template):
    with new_postgres_database(postgres_url, postgres_template) as url:
        yield url


@pytest.fixture
def owner(url):
    with contextlib.closing(Database(url, pool_size=1)) as database:
        yield database


@pytest.fixture
def logins(url):
    logins = Logins(url)
    logins.create()
    yield logins
    logins.drop()


def granted(connection, role):
    """What the catalogue says that a role may do with our tables, columns and sequences."""
    tables = """
        SELECT privilege_type, table_name, NULL FROM information_schema.role_table_grants WHERE grantee = :role
        UNION SELECT privilege_type, table_name, column_name FROM information_schema.column_privileges AS one
          WHERE grantee = :role AND NOT EXISTS (
            SELECT FROM information_schema.role_table_grants AS whole WHERE whole.grantee = one.grantee
              AND whole.table_name = one.table_name AND whole.privilege_type = one.privilege_type)
    """
    found = {Right(role, *row) for row in connection.execute(text(tables), {"role": role})}
    return found | {
        Right(role, "USAGE", name)
        for name in SEQUENCES.values()
        if connection.execute(text(f"SELECT has_sequence_privilege('{role}', '{name}', 'USAGE')")).scalar_one()
    }


def test_the_file_grants_exactly_what_the_table_says_however_often_it_is_run(owner, logins):
    for _ in range(2):
        with owner.reading() as connection:
            assert known_roles(connection) == list(ROLES)
            assert lacking(connection) == []
            for role in ROLES:
                assert granted(connection, role) == set(rights(role))
            names = connection.execute(text("SELECT relname FROM pg_class WHERE relkind = 'S'")).scalars()
            assert set(names) == set(SEQUENCES.values())
        with contextlib.closing(logins.connect()) as session:
            session.execute(ROLES_SQL.read_text().encode())


def test_migrate_gives_back_what_is_missing_and_the_doctor_says_so_before(owner, logins, url):
    with owner.transaction() as connection:
        connection.execute(text(f"REVOKE INSERT ON event FROM {INTAKE}"))
        connection.execute(text(f"REVOKE SELECT ON endpoint FROM {READ}"))
    (told,) = check_rights(owner)
    assert (told.state, told.cause, told.command) == ("wrong", "rights", "invoices migrate")
    assert f"{INTAKE} may not INSERT on event, and " in told.detail
    assert upgrade(url) == upgrade(url)
    assert list(check_rights(owner)) == []


def test_what_a_migration_adds_is_there_for_the_processes_at_once(logins, postgres_url):
    with new_postgres_database(postgres_url) as url:
        upgrade(url, to=revisions()[-2])
        with contextlib.closing(Database(url, pool_size=1)) as database:
            with database.transaction() as connection:
                connection.execute(text(f"GRANT SELECT ON alembic_version TO {', '.join(ROLES)}"))
            upgrade(url)
            with database.reading() as connection:
                assert {role: granted(connection, role) for role in ROLES} == {r: set(rights(r)) for r in ROLES}


def test_roles_that_the_file_has_not_let_in_stay_outside(logins, postgres_url, postgres_template):
    """They may be another installation's on the same server."""
    with (
        new_postgres_database(postgres_url, postgres_template) as other,
        contextlib.closing(Database(other, pool_size=1)) as database,
        database.reading() as connection,
    ):
        assert known_roles(connection) == []
        assert granted(connection, WORKER) == set()
