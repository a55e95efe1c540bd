"""The command's frame: cheap help, one-line errors, exit codes."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from psycopg.errors import LockNotAvailable
from sqlalchemy.exc import OperationalError

from domain.evidence import Created
from workers.cli.errors import explain
from workers.cli.main import COMMANDS
from workers.store.judging import Judgement

ROOT = Path(__file__).resolve().parents[2]
HEAVY = "celery kombu sqlalchemy pydantic httpx aiohttp rich redis alembic cryptography structlog"


def run_python(*arguments, **options):
    return subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=180, check=False, **options
    )


def test_help_imports_none_of_the_heavy_packages():
    program = (
        "import sys; from workers.cli.main import run; run(['--help']);"
        f"print('found:', *[name for name in '{HEAVY}'.split() if name in sys.modules])"
    )
    ran = run_python("-c", program)
    assert ran.stdout.splitlines()[-1].strip() == "found:", ran


def test_processes_import_nothing_of_what_only_migrating_or_an_issuer_needs():
    """A fifth of a worker's start, two fifths of web's."""
    program = (
        "import sys, workers.queue.lifespan, workers.queue.tasks, workers.web.process;"
        "print('found:', *[name for name in ('alembic', 'authlib', 'joserfc', 'sqlmodel') if name in sys.modules])"
    )
    ran = run_python("-c", program)
    assert ran.stdout.strip() == "found:", ran


RUNS_AND_TELLS = """
import sys
from workers.cli.main import run
for command in {commands!r}:
    code = run(command.split())
    found = [name for name in {modules!r}.split() if name in sys.modules]
    print("found:", code, *found, "by", command, file=sys.stderr)
"""


def assert_run_without(commands, modules):
    """The commands, one after the other in one process, end well and have imported none of these."""
    ran = run_python("-c", RUNS_AND_TELLS.format(commands=commands, modules=modules))
    told = [line for line in ran.stderr.splitlines() if line.startswith("found:")]
    assert told == [f"found: 0 by {command}" for command in commands], ran


#: What a command that reads does without on SQLite.
NOT_READ_WITH = (
    "aiohttp alembic anyio celery cryptography httpx kombu prometheus_client psycopg pygments redis rich starlette "
    "structlog uvicorn uvloop sqlmodel sqlalchemy.orm"
)
#: What only those that judge do with.
NOT_LISTED_WITH = "domain.order domain.lifecycle workers.store.judging"


def test_what_reads_imports_none_of_what_only_others_need(invoices, add_order, store):
    store.judge([Judgement(add_order("order-1"), Created(provider_ref="77"))])
    listing = ["list", "list --json", "events", "rejected", "deliveries list", "contradictions", "audit"]
    asking = ["show order-1", "show order-1 --json", "why no-such-order", "why order-1", "unmatched list"]
    assert_run_without([*listing, *asking], NOT_READ_WITH)


def test_what_only_lists_imports_nothing_of_what_judges(invoices, add_order):
    add_order("order-1")
    assert_run_without(["list", "list --json", "rejected", "contradictions", "audit"], NOT_LISTED_WITH)


def test_what_a_library_logs_while_something_is_read_goes_to_standard_error_redacted(invoices, monkeypatch):
    secret = "sandbox-nebulox-key"
    program = (
        "import logging; from workers.cli.context import settings_to_read; settings_to_read();"
        f"logging.getLogger('sqlalchemy.pool').error('lost it: %s', 'api_key={secret}')"
    )
    ran = run_python("-c", program)
    assert ran.stdout == ""
    assert "lost it" in ran.stderr
    assert secret not in ran.stderr


def test_help_takes_less_than_half_a_second_of_cpu():
    def used():
        times = resource.getrusage(resource.RUSAGE_CHILDREN)
        return times.ru_utime + times.ru_stime

    spent = []
    for _ in range(3):
        before = used()
        assert run_python("-m", "workers.cli", "--help").returncode == 0
        spent.append(used() - before)
    assert min(spent) < 0.5


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_has_a_help(fresh_invoices, name):
    ran = fresh_invoices(name, "--help")
    assert ran.code == 0
    assert ran.out.startswith(f"Usage: invoices {name}")


@pytest.mark.parametrize(
    "arguments",
    [["lst"], ["list", "--limit", "-1"], ["list", "--status", "payed"], ["list", "--since", "soon"], ["show"]],
)
def test_wrong_usage_is_one_line_and_exit_code_2(fresh_invoices, arguments):
    ran = fresh_invoices(*arguments)
    assert ran.code == 2
    assert len(ran.err.splitlines()) == 1
    assert ran.out == ""


def test_a_database_that_is_not_there_is_one_line_that_says_what_to_do(fresh_invoices):
    ran = fresh_invoices("list")
    assert (ran.code, len(ran.err.splitlines())) == (1, 1)
    assert "run `invoices migrate`" in ran.err
    assert not (fresh_invoices.home / "invoices.db").exists()


def test_a_database_without_tables_is_one_line_that_says_what_to_do(fresh_invoices):
    fresh_invoices.home.mkdir()
    (fresh_invoices.home / "invoices.db").touch()
    ran = fresh_invoices("list")
    assert ran.code == 1
    assert ran.err == "invoices: the database is not migrated: run `invoices migrate`\n"


def test_a_database_server_that_is_away_is_one_line_without_its_password(fresh_invoices, monkeypatch):
    monkeypatch.setenv("INVOICES_DATABASE_URL", "postgresql://me:hunter2@127.0.0.1:1/invoices")
    monkeypatch.setenv("INVOICES_SECRET_KEY", "A" * 43 + "=")
    ran = fresh_invoices("list")
    assert (ran.code, len(ran.err.splitlines())) == (1, 1)
    assert "the database can't be used" in ran.err
    assert "hunter2" not in ran.err


def test_a_row_that_somebody_keeps_locked_is_one_line_that_says_what_to_do():
    locked = OperationalError("UPDATE", {}, LockNotAvailable("canceling statement due to lock timeout"))
    assert explain(locked) == (
        "another session has locked what this is to change: end its transaction, then run this again"
    )


def test_a_wrong_setting_is_one_line_that_names_it(fresh_invoices, monkeypatch):
    monkeypatch.setenv("INVOICES_LOG_LEVEL", "loud")
    ran = fresh_invoices("list")
    assert ran.code == 1
    assert ran.err.startswith("invoices: INVOICES_LOG_LEVEL: must be")


def test_debug_shows_where_an_error_comes_from(fresh_invoices):
    fresh_invoices.home.mkdir()
    (fresh_invoices.home / "invoices.db").touch()
    with pytest.raises(Exception, match="the database is not migrated"):
        fresh_invoices("list", "--debug")


def test_a_reader_that_goes_away_ends_the_command_quietly(invoices, add_order):
    for number in range(300):
        add_order(f"order-{number}", metadata={"note": "x" * 1000})
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [sys.executable, "-m", "workers.cli", "list", "--limit", "0", "--json"],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    with process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 1


@pytest.mark.parametrize("home", ["{file}", "{file}/below", "/proc/none"])
@pytest.mark.parametrize("command", ["migrate", "up", "demo --orders 2", "doctor", "enqueue --file -"])
def test_a_home_that_can_not_be_made_is_told_with_the_setting_that_names_another(
    fresh_invoices, monkeypatch, command, home, tmp_path
):
    file = tmp_path / "file"
    file.touch()
    monkeypatch.setenv("INVOICES_HOME", home.format(file=file))
    ran = fresh_invoices(*command.split())
    assert ran.code == 1
    (told,) = [line for line in (ran.out + ran.err).splitlines() if "set INVOICES_HOME to a folder" in line]
    assert str(file) in told or "/proc/none" in told
