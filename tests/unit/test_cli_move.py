"""`invoices move`: what it refuses, and what it says. What is moved: tests/contracts/test_move.py."""

from __future__ import annotations

import time
from datetime import timedelta

import pytest

from workers.store.processes import Heartbeat
from workers.store.tables import PROCESS

PASSWORD = "hunter2-is-secret"


@pytest.fixture
def target(tmp_path):
    return f"sqlite:///{tmp_path / 'target.db'}"


@pytest.fixture
def worker(store):
    return Heartbeat(store.database, ["worker"], ["nebulox"])


def test_it_says_how_much_was_moved_and_what_comes_next(invoices, add_order, target, tmp_path, monkeypatch):
    add_order("waits")
    moved = invoices("move", target, "--reason", "it grows")
    assert (moved.code, moved.err) == (0, "")
    assert "each was read back and is the same" in moved.out
    assert f"export INVOICES_DATABASE_URL=sqlite+pysqlite:///{tmp_path}/target.db" in moved.out
    assert f"export INVOICES_SECRET_KEY=$(cat {invoices.home}/secret.key)" in moved.out
    assert (tmp_path / "target.db").stat().st_mode & 0o077 == 0  # others may not read it
    again = invoices("move", target)
    assert (again.code, again.out) == (1, "")
    assert "the target is not empty" in again.err

    monkeypatch.setenv("INVOICES_DATABASE_URL", target)
    monkeypatch.setenv("INVOICES_SECRET_KEY", "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=")
    assert invoices("show", "waits", "--json").lines[0]["status"] == "queued"
    (act,) = invoices("audit", "--json").lines
    assert (act["act"], act["reason"]) == ("database.moved", "it grows")


def test_with_json_each_table_is_a_line_and_the_whole_the_last(invoices, add_order, target):
    add_order("waits")
    *tables, whole = invoices("move", target, "--json").lines
    assert {one["table"]: one["rows"] for one in tables if one["rows"]} == {"agenda": 1, "event_log": 1, "invoice": 1}
    assert all(len(one["digest"]) == 64 for one in tables)
    assert (whole["tables"], whole["rows"]) == (len(tables), 3)


def test_a_process_that_goes_on_is_named_and_nothing_is_moved(invoices, worker, target, tmp_path, monkeypatch):
    worker.write()
    monkeypatch.setattr(time, "sleep", lambda _: worker.write())
    refused = invoices("move", target)
    assert refused.code == 1
    assert "waiting to see whether worker ended" in refused.err
    assert "runs: stop intake, workers, beat and web, then run this again" in refused.err
    assert not (tmp_path / "target.db").exists()


def test_a_process_that_has_ended_is_waited_for_only_until_it_is_gone(invoices, worker, store, target, monkeypatch):
    worker.write()

    def pass_time(_):
        with store.database.transaction() as connection:
            seen = store.database.now(connection) - timedelta(seconds=16)
            connection.execute(PROCESS.update().values(seen_at=seen))

    monkeypatch.setattr(time, "sleep", pass_time)
    assert invoices("move", target).code == 0


def test_even_so_it_is_moved_although_a_process_was_seen(invoices, worker, target):
    worker.write()
    moved = invoices("move", target, "--even-so")
    assert (moved.code, moved.err) == (0, "")


def test_an_address_that_cannot_be_one_is_refused_without_its_password(invoices, tmp_path):
    for url in (f"mysql://u:{PASSWORD}@h/d", f"postgresql://u:{PASSWORD}@127.0.0.1:1/d", "sqlite:///:memory:"):
        refused = invoices("move", url)
        assert refused.code in {1, 2}, refused
        assert refused.err.startswith("invoices: ")
        assert PASSWORD not in refused.out + refused.err


def test_a_database_that_was_never_migrated_has_nothing_to_move(fresh_invoices, target):
    missing = fresh_invoices("move", target)
    assert (missing.code, "there is no database" in missing.err) == (1, True)
    fresh_invoices.home.mkdir()
    (fresh_invoices.home / "invoices.db").touch()
    refused = fresh_invoices("move", target)
    assert "never migrated: there is nothing to move" in refused.err


def test_a_target_of_sqlite_gets_its_folder(invoices, add_order, tmp_path):
    add_order("waits")
    moved = invoices("move", f"sqlite:///{tmp_path / 'new folder' / 'deeper' / 'target.db'}")
    assert (moved.code, moved.err) == (0, "")
    assert (tmp_path / "new folder" / "deeper").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    ("address", "why"),
    [
        (f"postgresql+psycopg://shop:{PASSWORD}@127.0.0.1:1/invoices", "the target can't be used: "),
        ("sqlite:////proc/none/target.db", "the target can't be made: /proc/none: "),
    ],
)
def test_a_target_that_is_out_of_reach_is_told_as_the_target(invoices, add_order, address, why):
    add_order("waits")
    moved = invoices("move", address)
    assert (moved.code, moved.out) == (1, "")
    assert moved.err.startswith(f"invoices: {why}")
    assert len(moved.err.splitlines()) == 1
    assert PASSWORD not in moved.err
