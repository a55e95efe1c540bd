"""`invoices archive`, the command itself, killed over and over: nothing is lost, nothing is in the archive twice."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from sqlalchemy import select

from tests.contracts.archive_cases import age, counts, end, held, left
from workers.delivery.secretbox import new_key
from workers.store.tables import INVOICE

pytestmark = [pytest.mark.engines, pytest.mark.timeout(900)]

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-m", "workers.cli", "archive", "--older-than", "90", "--json"]
A_DAY = 40
DAYS = (91, 92, 93)
LOOK_SECONDS = 0.001


@pytest.fixture
def archive(database, tmp_path):
    """Starts the command on this database and folder."""
    settings = {
        "INVOICES_HOME": str(tmp_path / "home"),
        "INVOICES_DATABASE_URL": database.engine.url.render_as_string(hide_password=False),
        "INVOICES_SECRET_KEY": new_key(),
        "INVOICES_ARCHIVE_DIR": str(tmp_path / "archive"),
    }
    given = {name: value for name, value in os.environ.items() if not name.startswith("INVOICES_")}

    def start():
        return subprocess.Popen(COMMAND, cwd=ROOT, env=given | settings, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    return start


def killed_once(started, happened):
    """Whether it was killed in the middle, the moment this was true; otherwise it had ended before."""
    with started as process:
        while process.poll() is None and not happened():
            time.sleep(LOOK_SECONDS)
        process.send_signal(signal.SIGKILL)
        _, error = process.communicate()
        assert process.returncode in {0, -signal.SIGKILL}, error
        return process.returncode != 0


def moments(database, folder, total):
    """What to wait for, in the order in which a run gets there."""
    yield lambda: list(folder.glob("*.draft"))
    yield lambda: list(folder.glob("*.gz"))
    yield lambda: len(left(database)) < total
    yield lambda: len(list(folder.glob("*.gz"))) > 1
    yield lambda: len(left(database)) < total - A_DAY - 1
    yield lambda: any(path.stat().st_size > 2000 for path in folder.glob("*.draft"))


def test_a_command_that_is_killed_over_and_over_loses_nothing_and_writes_nothing_twice(
    database, store, tmp_path, archive
):
    ids, folder, old = end(store, A_DAY * len(DAYS)), tmp_path / "archive", set()
    for place, days in enumerate(DAYS):
        old |= set(age(database, ids[place * A_DAY : (place + 1) * A_DAY], days))
    kills = 0
    for moment in moments(database, folder, len(old)):
        kills += killed_once(archive(), moment)
        finished = {one["invoice"]["id"] for one in held(folder)} if folder.exists() else set()
        assert left(database) | finished == old
        whole = counts(database)
        assert whole["event"] == 2 * whole["invoice"]  # nobody's rows went without the rest of it
    assert kills > 0

    with archive() as process:
        _, error = process.communicate()
        assert process.returncode == 0, error
    assert left(database) == set()
    check_whole(folder, old)
    assert not any(counts(database).values())


def test_killed_while_it_waits_for_a_row_that_somebody_has_locked_it_leaves_that_day_whole(
    database, store, tmp_path, archive
):
    if database.engine.dialect.name != "postgresql":
        pytest.skip("SQLite locks no rows")
    folder, old = tmp_path / "archive", set(age(database, end(store, 5)))
    locked = select(INVOICE.c.id).where(INVOICE.c.id == max(old)).with_for_update()
    with database.engine.begin() as connection:
        connection.execute(locked).all()
        assert killed_once(archive(), lambda: list(folder.glob("*.sha256")))
    assert left(database) == old
    assert {one["invoice"]["id"] for one in held(folder)} <= old

    with archive() as process:
        process.communicate()
    check_whole(folder, old)


def check_whole(folder, old):
    """Each invoice is in one finished file, once; each file is as its sum says; nothing else is left."""
    assert Counter(one["invoice"]["id"] for one in held(folder)) == Counter(old)
    for path in folder.glob("*.gz"):
        said = Path(f"{path}.sha256").read_text()
        assert said == f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n"
    assert not list(folder.glob("*.draft"))
