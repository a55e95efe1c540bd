"""`invoices migrate` itself: many at once, killed, locked out, and on databases of other releases."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import create_engine, event, inspect, text

from tests.upgrades.planted import AFTER_NEXT, NEXT, NEXT_RELEASES, plant
from workers.store import schema
from workers.store.database import Database
from workers.store.release import SchemaTooOld, require_release

ROOT = Path(__file__).resolve().parents[2]
DEADLINE_SECONDS = 300
MIGRATE = """
import sys
from pathlib import Path
from workers.store import schema
schema.REST_SECONDS = 0.1
print(*schema.upgrade(sys.argv[1], folder=Path(sys.argv[2])))
"""


def start_migration(url, folder):
    command = [sys.executable, "-c", MIGRATE, url, str(folder)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def end_well(processes):
    ended = [(*process.communicate(timeout=DEADLINE_SECONDS), process.returncode) for process in processes]
    assert [code for _, _, code in ended] == [0] * len(ended), ended
    return [out.decode().splitlines()[-1] for out, _, _ in ended]


def wait_for(happened, what):
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not happened():
        assert time.monotonic() < deadline, f"not in time: {what}"
        time.sleep(0.02)


@contextmanager
def opened(url, **options):
    """An engine, and no connection left behind."""
    engine = create_engine(url, **options)
    try:
        yield engine
    finally:
        engine.dispose()


def columns(url):
    with opened(url) as engine:
        return {column["name"] for column in inspect(engine).get_columns("invoice")}


@pytest.mark.engines
def test_each_revision_is_run_once_by_five_processes_at_once(empty_database_url, planted):
    ended = end_well([start_migration(empty_database_url, planted) for _ in range(5)])

    assert {line.split()[1] for line in ended} == {AFTER_NEXT}
    assert "risk" in columns(empty_database_url)
    assert "note" not in columns(empty_database_url)


@pytest.mark.engines
@pytest.mark.parametrize("begun", ["from nothing", "one revision"])
def test_a_killed_migration_leaves_nothing_half_done(empty_database_url, tmp_path, begun):
    """Killed inside the second of two revisions, after its first statement; then two at once finish the work."""
    mark, go = tmp_path / "begun", tmp_path / "go"
    slow = f"""
    import pathlib, time
    op.add_column("invoice", sa.Column("risk", sa.Integer(), server_default="7", nullable=False))
    pathlib.Path({str(mark)!r}).touch()
    while not pathlib.Path({str(go)!r}).exists():
        time.sleep(0.02)
    op.add_column("invoice", sa.Column("note", sa.Text()))
    """
    folder = plant(tmp_path / "migrations", {"slow": ("expand", slow)})
    if begun == "one revision":  # one that has all but this revision behind it
        schema.upgrade(empty_database_url)
    killed = start_migration(empty_database_url, folder)
    wait_for(lambda: mark.exists() or killed.poll() is not None, "the migration is under way")
    killed.send_signal(signal.SIGKILL)
    killed.communicate(timeout=DEADLINE_SECONDS)

    assert not {"risk", "note"} & columns(empty_database_url)
    go.touch()
    end_well([start_migration(empty_database_url, folder) for _ in range(2)])
    assert {"risk", "note"} <= columns(empty_database_url)


@pytest.mark.engines
def test_migrations_that_are_killed_at_any_moment_come_to_their_end(empty_database_url, planted):
    for milliseconds in (150, 300, 450, 600, 800):
        processes = [start_migration(empty_database_url, planted) for _ in range(2)]
        time.sleep(milliseconds / 1000)  # a moment that means nothing: wherever it falls, the outcome is the same
        for process in processes:
            process.kill()
            process.communicate(timeout=DEADLINE_SECONDS)
    end_well([start_migration(empty_database_url, planted)])

    assert "risk" in columns(empty_database_url)
    with opened(empty_database_url) as engine, engine.connect() as connection:
        indexes = {index["name"] for index in inspect(connection).get_indexes("invoice")}
        assert "ix_invoice_risk" in indexes
        if connection.dialect.name == "postgresql":
            broken = connection.execute(text("SELECT count(*) FROM pg_index WHERE NOT indisvalid")).scalar_one()
            assert broken == 0


def test_a_migration_that_waits_for_a_table_lets_workers_through(new_postgres_url, planted):
    """A long transaction holds the table; the migration asks again and again, and readers pass in between."""
    schema.upgrade(new_postgres_url)
    hasty = {"options": "-c statement_timeout=60000"}
    with opened(new_postgres_url, connect_args=hasty) as engine, engine.connect() as holder:
        holder.execute(text("SELECT count(*) FROM invoice"))
        migration = start_migration(new_postgres_url, planted)
        locked = "SELECT count(*) FROM pg_locks WHERE NOT granted"
        with engine.connect() as watcher:
            for _ in range(3):
                wait_for(lambda: watcher.execute(text(locked)).scalar_one(), "the migration waits for its lock")
                with engine.connect() as worker:  # fails after a minute, if the migration stood before it for ever
                    worker.execute(text("UPDATE invoice SET reason = 'seen'"))
                    worker.commit()
            assert migration.poll() is None
        holder.rollback()
        end_well([migration])
    assert "risk" in columns(new_postgres_url)


def test_a_migration_that_never_gets_its_lock_says_so_and_changes_nothing(empty_database_url, planted, monkeypatch):
    schema.upgrade(empty_database_url)
    monkeypatch.setattr(schema, "REST_SECONDS", 0.05)
    monkeypatch.setattr("workers.store.database.SQLITE_WAIT_SECONDS", 1)
    holder = Database(empty_database_url)
    with holder.transaction() as connection:
        connection.execute(text("UPDATE agenda SET pokes = 1"))
        connection.execute(text("SELECT count(*) FROM invoice"))
        with pytest.raises(schema.MigrationRefused, match="end long transactions, then run it again"):
            schema.upgrade(empty_database_url, folder=planted, patience_seconds=0.2)
    holder.close()
    assert "risk" not in columns(empty_database_url)
    assert schema.upgrade(empty_database_url, folder=planted)[1] == AFTER_NEXT


def test_who_waits_for_a_migration_that_hangs_gives_up_in_the_end_and_says_who_it_is(new_postgres_url):
    hung = {"application_name": "the hung one"}
    key = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
    with opened(new_postgres_url, connect_args=hung) as engine, engine.connect() as holder:
        holder.execute(text("SELECT pg_advisory_lock(:lock)"), {"lock": schema._MIGRATION_LOCK})
        pid = holder.execute(text("SELECT pg_backend_pid()")).scalar_one()
        ran = subprocess.run(
            [sys.executable, "-m", "workers.cli", "migrate", "--patience", "0.3"],
            cwd=ROOT,
            env={**os.environ, "INVOICES_DATABASE_URL": new_postgres_url, "INVOICES_SECRET_KEY": key},
            capture_output=True,
            text=True,
            timeout=DEADLINE_SECONDS,
            check=False,
        )
    assert ran.returncode == 1
    told = ran.stderr.splitlines()[-1]
    assert told.startswith(f"invoices: PostgreSQL's process {pid} (the hung one, from ")
    assert told.endswith("has been migrating for too long: wait for it or end it, then run it again")


def test_this_release_leaves_a_database_of_the_next_one_as_it_is_and_works_on_it(empty_database_url, planted):
    schema.upgrade(empty_database_url, folder=planted, to=NEXT)

    assert schema.upgrade(empty_database_url) == (NEXT, NEXT)
    database = Database(empty_database_url)
    assert database.read(require_release).relation == "newer"
    database.close()


def test_the_next_release_refuses_a_database_of_this_one(empty_database_url, planted):
    before, after = schema.upgrade(empty_database_url)
    database = Database(empty_database_url)

    with pytest.raises(SchemaTooOld) as refused:
        database.read(require_release, planted)
    database.close()
    assert before is None
    assert str(refused.value) == (
        f"the database is of another release, at revision {after}, and this one needs {AFTER_NEXT}: "
        "run `invoices migrate`"
    )


@pytest.mark.parametrize("kind", ["intake", pytest.param("work", marks=pytest.mark.engines)])
def test_a_worker_on_a_database_without_tables_ends_with_one_sentence(tmp_path, kind):
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("INVOICES_")},
        "INVOICES_DATABASE_URL": f"sqlite:///{tmp_path / 'other.db'}",
        "INVOICES_BROKER_URL": "redis://127.0.0.1:1/0",
        "INVOICES_HOME": str(tmp_path),
        "INVOICES_SECRET_KEY": "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=",
    }
    command = [sys.executable, "-m", "celery", "-A", "workers.app", "worker", "-P", "threads", "-Q", f"invoices.{kind}"]
    ended = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, check=False, timeout=DEADLINE_SECONDS
    )

    assert ended.returncode == 1
    assert ended.stderr.decode().strip() == "invoices: the database is not migrated: run `invoices migrate`"


def test_few_statements_share_a_transaction_with_a_lock_that_workers_feel(new_postgres_url, planted):
    """Every revision after the first, this release's and the planted ones: short transactions, one table each."""
    first, *later = schema.revisions(planted)
    schema.upgrade(new_postgres_url, folder=planted, to=first)
    with opened(new_postgres_url) as engine:
        known = set(inspect(engine).get_table_names())
    for revision in later:
        held: list[set[str]] = []
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(schema, "_migrate", _watched(schema._migrate, held))
            schema.upgrade(new_postgres_url, folder=planted, to=revision)
        (tables,) = held
        assert len(tables & known) <= 1, f"{revision} locks {sorted(tables & known)} at once: split it"
    assert set(later) >= set(NEXT_RELEASES)


def _watched(migrate, held):
    """The tables that a revision's transaction holds just before it commits, in a mode that stops writers."""

    def look(connection):
        rows = connection.exec_driver_sql(
            "SELECT relation::regclass::text FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'relation'"
            " AND mode IN ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')"
        )
        held[-1] |= {name for (name,) in rows}

    def run(connection, folder, revision):
        held.append(set())
        event.listen(connection, "commit", look)
        try:
            migrate(connection, folder, revision)
        finally:
            event.remove(connection, "commit", look)

    return run


def test_threads_of_one_process_may_migrate_at_once_too(empty_database_url, planted):
    ended: list[object] = []

    def migrate():
        try:
            ended.append(schema.upgrade(empty_database_url, folder=planted)[1])
        except Exception as error:
            ended.append(error)

    threads = [threading.Thread(target=migrate) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE_SECONDS)
    assert ended == [AFTER_NEXT] * 4
