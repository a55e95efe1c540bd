"""What the embedded defaults keep on disk is its owner's alone, whoever makes it first."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys

import pytest
from sqlalchemy import text

from workers.embedded.home import make_home
from workers.store.database import Database
from workers.store.private_files import open_to_others


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture(params=[0o000, 0o022, 0o077], ids=oct)
def umask(request):
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def write(url):
    """Something written, with the connection still open: write-ahead log and shared memory are there."""
    database = Database(url)
    with database.transaction() as connection:
        connection.execute(text("CREATE TABLE IF NOT EXISTS note (said TEXT)"))
        connection.execute(text("INSERT INTO note VALUES ('hello')"))
    return database


def test_a_new_database_and_its_companions_are_private(tmp_path, umask):
    database = write(f"sqlite:///{tmp_path / 'invoices.db'}")
    modes = {path.name: mode(path) for path in tmp_path.iterdir()}
    database.close()
    assert modes == {"invoices.db": 0o600, "invoices.db-wal": 0o600, "invoices.db-shm": 0o600}


def test_a_database_that_others_could_read_is_made_private(tmp_path):
    path = tmp_path / "invoices.db"
    first = sqlite3.connect(path)
    first.execute("PRAGMA journal_mode=WAL")
    first.execute("CREATE TABLE old (said TEXT)")
    first.commit()
    for each in tmp_path.iterdir():
        each.chmod(0o664)
    assert {each.name for each in open_to_others(path)} == {"invoices.db", "invoices.db-wal", "invoices.db-shm"}

    database = write(f"sqlite:///{path}")
    assert open_to_others(path) == []
    database.close()
    first.close()


@pytest.mark.parametrize("command", [("migrate",), ("doctor",), ("endpoints", "add", "https://shop.invalid/hook")])
def test_a_home_is_private_whichever_command_makes_it(fresh_invoices, tmp_path, umask, command):
    fresh_invoices(*command)
    fresh_invoices("migrate")
    home = tmp_path / "home"
    assert mode(home) == 0o700
    assert mode(home / "invoices.db") == 0o600


def test_a_home_with_nothing_but_ours_loses_the_rights_of_others(tmp_path):
    home = tmp_path / "home"
    home.mkdir(mode=0o755)
    (home / "invoices.db").touch()
    make_home(home)
    assert mode(home) == 0o700


def test_a_folder_that_is_used_for_something_else_is_left_as_it_is_and_told(tmp_path, invoices):
    home = tmp_path / "home"
    (home / "index.html").touch()
    home.chmod(0o755)
    make_home(home)
    assert mode(home) == 0o755
    told = {line["command"] for line in invoices("doctor", "--json").lines if line["check"] == "privacy"}
    assert told == {f"chmod 700 {home}"}


def test_a_new_connection_drops_no_lock_that_another_one_of_this_process_holds(tmp_path):
    """POSIX locks belong to the process: whoever opens and closes the file beside SQLite loses all of them. Another
    process then takes itself for the last one, deletes the write-ahead log, and nobody sees the other's rows again."""
    path = tmp_path / "invoices.db"
    database = write(f"sqlite:///{path}")
    write(f"sqlite:///{path}").close()
    wal = (tmp_path / "invoices.db-wal").stat().st_ino
    for said in ("first", "second"):
        other = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute(sys.argv[2]); c.commit(); c.close()"
        insert = f"INSERT INTO note VALUES ('{said}')"
        subprocess.run([sys.executable, "-c", other, path, insert], check=True)
    with database.reading() as connection:
        notes = set(connection.execute(text("SELECT said FROM note")).scalars())
    there = (tmp_path / "invoices.db-wal").stat().st_ino
    database.close()

    assert notes == {"hello", "first", "second"}
    assert there == wal
