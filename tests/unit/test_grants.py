"""The table of grants: every table is in it, secrets stay with who needs them, and the file says the same."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.supply.roles_sql import roles_sql
from workers.store.grants import GRANTS, INTAKE, READ, REVISION, ROLES, SECRET_COLUMNS, SEQUENCES, WEB, WORKER, rights
from workers.store.tables import plain

ROOT = Path(__file__).resolve().parents[2]
TABLES = {getattr(plain, name).name: getattr(plain, name) for name in plain.__all__}
#: Tables that no process touches: `restored`, which writes one of them, is run by the owner.
OWNERS: frozenset[str] = frozenset()


def test_every_table_is_granted_to_the_processes_that_use_it():
    """A new table must be named in workers/store/grants.py, or nobody but the owner could use it."""
    granted = {table for role in (INTAKE, WORKER, WEB) for table in GRANTS[role]}
    assert granted == set(TABLES) - OWNERS | {REVISION}
    assert set(GRANTS[READ]) == set(TABLES) | {REVISION}


def test_columns_that_are_named_exist():
    named = {(right.object, right.column) for role in ROLES for right in rights(role) if right.column}
    assert named
    assert all(column in TABLES[table].columns for table, column in named)
    assert all(column in TABLES[table].columns for table, columns in SECRET_COLUMNS.items() for column in columns)


def test_a_column_that_sounds_secret_is_one_that_the_reading_role_does_not_see():
    sounds = re.compile(r"secret|password|hash$|token$|sealed|^headers$|key$")
    public = {
        ("invoice", "idempotency_key"),
        ("invoice", "address_key"),
        ("rejected_message", "message_key"),
        ("agenda", "lease_token"),
        ("kept_answer", "token"),
        ("bulk_job", "lease_token"),
        ("callback", "headers"),
        ("forged_callback", "headers"),
        ("payment", "key"),
        ("payment", "tx_hash"),
        ("console_person", "key"),
        ("console_session", "key"),
    }
    found = {(name, c.name) for name, table in TABLES.items() for c in table.columns if sounds.search(c.name)}
    assert found - public == {(table, column) for table, columns in SECRET_COLUMNS.items() for column in columns}


@pytest.mark.parametrize("role", ROLES)
def test_nobody_but_the_owner_may_do_more_than_read_and_write_rows(role):
    assert {right.privilege for right in rights(role)} <= {"SELECT", "INSERT", "UPDATE", "DELETE", "USAGE"}


def test_what_is_kept_for_good_is_changed_by_nobody():
    for role in ROLES:
        assert GRANTS[role].get("operator_act", "SELECT") in {"SELECT", "SELECT, INSERT"}
        changed = {right.column for right in rights(role) if right[1:3] == ("UPDATE", "evidence")}
        assert changed <= {"repeats", "last_at"}
        assert "DELETE" not in GRANTS[role].get("invoice", "")
        assert not {"INSERT", "UPDATE", "DELETE"} & set(GRANTS[role].get("restoration", "").split(", "))


def test_the_intake_sees_no_secret_and_nothing_of_people():
    assert GRANTS[INTAKE].keys().isdisjoint({"access_token", "console_person", "console_session", "console_link"})
    assert GRANTS[WORKER].keys().isdisjoint({"access_token", "console_person", "console_session", "console_link"})
    assert {right.column for right in rights(INTAKE) if right.object == "endpoint"} == {"id", "events", "accounts"}
    assert not [right for right in rights(READ) if right.privilege != "SELECT"]


def test_whoever_inserts_where_rows_are_numbered_may_take_a_number():
    assert ("event", "event_number_seq") in SEQUENCES.items()
    for role in ROLES:
        numbered = {SEQUENCES[t] for t, granted in GRANTS[role].items() if "INSERT" in granted and t in SEQUENCES}
        assert {right.object for right in rights(role) if right.privilege == "USAGE"} == numbered


def test_the_file_is_made_of_the_table():
    file = (ROOT / "deploy/sql/roles.sql").read_text()
    assert file == roles_sql(), "run: python -m tests.supply.roles_sql > deploy/sql/roles.sql"
