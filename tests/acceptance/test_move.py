"""From SQLite to PostgreSQL with real processes and by the runbook's own commands: open invoices end as they should,
orders that came meanwhile are taken, and nobody is told anything twice."""

from __future__ import annotations

import contextlib
import shlex
import signal
import subprocess
import sys

import pytest
from sqlalchemy import create_engine

from tests.acceptance.system import ALL_PATIENT, ROOT, System, nebulox_order, zeroxhost_order
from tests.runbooks import block
from workers.embedded.valkey import ensure_valkey

pytestmark = [pytest.mark.engines, pytest.mark.timeout(1200)]

SLOW_SECONDS = 240

PAGE = "MoveToPostgreSQL"
LARGE = 200_000
#: Rows that an old system has beside those that are under way.
FILL = """
WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {rows})
INSERT INTO evidence (invoice_id, at, kind, detail, raw, verdict, source)
SELECT one.invoice_id, one.at, one.kind, one.detail || n, one.raw, one.verdict, one.source
FROM numbers, (SELECT * FROM evidence ORDER BY id LIMIT 1) AS one
"""
INVOICES = f'invoices() {{ {sys.executable} -m workers.cli "$@"; }}'
UP = [sys.executable, "-m", "workers.cli", "up", "--no-sandbox"]


def commands(name, target):
    """The runbook's, filled in."""
    return block(PAGE, name).replace("TARGET", shlex.quote(target))


def run(system, lines):
    """As a person would paste them into a shell; what was printed, and the environment after."""
    script = f"{INVOICES}\n{lines}\nexec env -0"
    ran = subprocess.run(
        ["sh", "-euc", script], cwd=ROOT, env=system.environment, capture_output=True, timeout=240, check=False
    )
    assert ran.returncode == 0, ran.stderr.decode() + system.logs()
    printed, _, _ = ran.stdout.partition(b"\0")
    return printed.decode(), dict(part.decode().split("=", 1) for part in ran.stdout.split(b"\0") if b"=" in part)


def start(system):
    """A busy machine takes long."""
    system.start_program("up", UP)
    system.wait_until(lambda: "pump.started" in system.new_log("up"), "the worker runs", SLOW_SECONDS)


@contextlib.contextmanager
def opened(url):
    """The test's own way to the database that nobody has used yet."""
    engine = create_engine(url)
    try:
        yield engine
    finally:
        engine.dispose()


def log_of(system):
    """Sequences of each invoice's events, and positions, from the outside."""
    events = [(row["invoice_id"], row["sequence"], row["id"]) for row in system.events()]
    positions = [row["position"] for row in system.rows("SELECT position FROM event_position ORDER BY position")]
    return events, positions


@pytest.mark.parametrize("rows", [0, LARGE])
def test_what_is_under_way_on_sqlite_goes_on_on_postgresql(tmp_path, new_postgres_url, capsys, rows):
    with System(tmp_path, accounts=ALL_PATIENT, stays_embedded=True) as system, opened(new_postgres_url) as there:
        del system.environment["INVOICES_SECRET_KEY"]  # as with the embedded default, which makes itself one
        system.add_receiver()
        start(system)
        system.order(
            zeroxhost_order("paid-before", "~pay:1~"),
            *(zeroxhost_order(f"open-{number}") for number in range(3)),
            nebulox_order("runs-out", lifetime_minutes="0.7"),
        )
        system.wait_for_statuses("open", SLOW_SECONDS, pending=3)
        system.wait_for_statuses("paid-before", SLOW_SECONDS, paid=1)
        system.wait_until_told(SLOW_SECONDS)

        running = subprocess.run(
            [*UP[:3], "move", new_postgres_url], cwd=ROOT, env=system.environment, capture_output=True, check=False
        )
        assert b"runs: stop intake, workers, beat and web" in running.stderr

        assert system.kill("up", signal.SIGTERM) == 0
        ensure_valkey(tmp_path)  # what is embedded ended with it; a broker of one's own goes on
        events_before, positions_before = log_of(system)
        system.order(*(zeroxhost_order(f"meanwhile-{number}", "~pay:1~") for number in range(2)))
        system.control("pay", {"provider": "zeroxhost", "order_id": "open-0"})

        if rows:
            with system.engine.begin() as connection:
                connection.exec_driver_sql(FILL.format(rows=rows))

        told, _ = run(system, commands("move", new_postgres_url))
        assert "each was read back and is the same" in told
        with capsys.disabled():
            print("\n" + told.splitlines()[0])
        system.engine.dispose()
        system.engine = there
        assert log_of(system) == (events_before, positions_before)

        after = commands("after", new_postgres_url).replace("doctor", "doctor || true")  # nothing runs yet
        _, environment = run(system, after)
        assert environment["INVOICES_SECRET_KEY"] == (tmp_path / "secret.key").read_text().strip()
        system.environment |= {name: environment[name] for name in environment if name.startswith("INVOICES_")}
        (tmp_path / "invoices.db").rename(tmp_path / "put-away.db")
        start(system)

        system.wait_for_statuses("open-0", SLOW_SECONDS, paid=1)
        system.wait_for_statuses("meanwhile", SLOW_SECONDS, paid=2)
        system.control("pay", {"provider": "zeroxhost", "order_id": "open-1"})
        system.command("cancel", "open-2", "--reason", "no more", "--json")
        system.wait_for_statuses("open-1", SLOW_SECONDS, paid=1)
        system.wait_for_statuses("open-2", SLOW_SECONDS, cancelled=1)
        system.wait_for_statuses("runs-out", SLOW_SECONDS, expired=1)
        system.wait_until_told(SLOW_SECONDS)
        system.check_history()
        system.check_told()

        events, positions = log_of(system)
        assert events[: len(events_before)] == events_before
        assert positions == list(range(1, len(events) + 1))
        assert not (tmp_path / "invoices.db").exists()
        assert set(system.creates().values()) == {1}
