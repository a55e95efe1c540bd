"""On a database of an earlier release, or of none, every command says so in the same sentence."""

from __future__ import annotations

import pytest

from config.settings import load_settings
from workers.store.release import known_revisions
from workers.store.schema import revisions, upgrade

COMMANDS = [
    ("list",), ("show", "order-1"), ("why", "order-1"), ("why", "--all"), ("events",), ("watch", "--seconds", "0"),
    ("rejected",), ("contradictions",), ("audit",), ("unmatched", "list"), ("drift", "list"), ("deliveries", "list"),
    ("deliveries", "show", "1"), ("endpoints", "list"), ("tokens", "list"), ("recheck", "order-1"),
    ("mark", "order-1", "paid", "--reason", "x"),
]  # fmt: skip


def older(revision):
    return (
        f"the database is of another release, at revision {revision}, and this one needs {known_revisions()[-1]}: "
        "run `invoices migrate`"
    )


@pytest.mark.parametrize("revision", [None, "0022", "0031"])
def test_every_command_refuses_it_in_the_same_sentence(fresh_invoices, revision):
    url = load_settings().database_url
    upgrade(url, to=revision or "0001")
    if revision is None:
        (fresh_invoices.home / "invoices.db").write_bytes(b"")
    said = "the database is not migrated: run `invoices migrate`" if revision is None else older(revision)
    for command in COMMANDS:
        ran = fresh_invoices(*command)
        assert (command, ran.code, ran.out, ran.err) == (command, 1, "", f"invoices: {said}\n")
    assert said in fresh_invoices("health").out
    assert said in fresh_invoices("doctor").out


def test_the_revisions_are_told_by_the_names_of_their_files():
    assert known_revisions() == tuple(revisions())


def test_a_database_of_a_newer_release_is_read(invoices, store):
    with store.database.transaction() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = 'of_the_next'")
    assert invoices("list").code == 0
    assert invoices("health", "--json").lines[0]["parts"]["database"] == "ok"
