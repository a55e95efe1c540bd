"""A drill: the database is put back to a backup while the shop, the stream and the provider have gone on."""

from __future__ import annotations

import contextlib
import functools
import shlex
import shutil
import sqlite3
import subprocess
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url

from domain.sequence import EPOCH_STEP
from tests.acceptance.checked import follows
from tests.acceptance.system import ALL_PATIENT, PATIENT, ROOT, System, running, spawn, zeroxhost_order
from tests.acceptance.test_http_orders import new_token
from tests.chaos.postgres import kill, start
from tests.engines import AS_SOMEBODY, MissingEngineError, run_postgres
from tests.failover.drill import PROCESSES, SECONDS, Figures, drain, forgotten, received
from tests.failover.traffic import Traffic
from tests.runbooks import paste
from tests.servers import free_port, wait_until

pytestmark = [pytest.mark.engines, pytest.mark.timeout(900)]

RECEIVER = Path(__file__).parents[2] / "deploy" / "receivers" / "receiver.py"
ARCHIVING = {
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "archive_mode": "on",
    "archive_command": "cp %p ../archive/%f",  # from the data's folder
}


class SqliteFile:
    """A copy by SQLite's own backup, taken while processes write, and put back."""

    url = None

    def __init__(self, home: Path) -> None:
        self._file, self._copy = home / "invoices.db", home / "backup.db"

    def back_up(self) -> None:
        with contextlib.ExitStack() as files:
            source, target = (
                files.enter_context(contextlib.closing(sqlite3.connect(file))) for file in (self._file, self._copy)
            )
            source.backup(target)

    def restore(self) -> None:
        for path in self._file.parent.glob(f"{self._file.name}*"):
            path.unlink()
        shutil.copyfile(self._copy, self._file)


class PostgresServer:
    """A base backup taken before anything happens, the log archived from then on, and a moment in it to go back to."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._folder = Path(str(make_url(url).query["host"]))
        options = (self._folder / "data" / "postmaster.opts").read_text()
        self._programs = Path(shlex.split(options)[0]).parent
        self._until = ""
        self._run("mkdir", str(self._folder / "archive"))
        self.take_base()

    def take_base(self) -> None:
        """As BACKUP.md says."""
        where = {
            "BASE": f"{self._folder}/base",
            "ARCHIVE": f"{self._folder}/archive",
            "PGHOST": str(self._folder),
            "PGUSER": "postgres",
            "PATH": f"{self._programs}:/usr/bin:/bin",
        }
        paste("../BACKUP", "every night", where, cwd="/", **AS_SOMEBODY)
        self._run("cp", f"{self._folder}/data/postmaster.opts", f"{self._folder}/base")  # what it is started with

    def _run(self, *command: str) -> None:
        subprocess.run(command, cwd="/", stdin=subprocess.DEVNULL, check=True, timeout=120, **AS_SOMEBODY)

    def back_up(self) -> None:
        self._until = self._ask("SELECT clock_timestamp()::text")

    def restore(self) -> None:
        """What the runbook says, in the places of this server. It is killed first: something has happened to it."""
        kill(self._folder)
        start(self._folder)
        control = f"pg_ctl -D {self._folder}/data -l {self._folder}/log -w -t 180"
        where = {
            "DATA": f"{self._folder}/data",
            "BASE": f"{self._folder}/base",
            "ARCHIVE": f"{self._folder}/archive",
            "START": f"{control} restart",  # with the options that it had
            "STOP": f"{control} -m immediate stop",
            "SQL": f"psql -h {self._folder} -U postgres -d postgres -Atc",
            "UNTIL": self._until,
            "PATH": f"{self._programs}:/usr/bin:/bin",
        }
        paste("Restore", "put back", where, cwd="/", **AS_SOMEBODY)

    def _ask(self, query: str):
        engine = create_engine(self.url, isolation_level="AUTOCOMMIT")
        try:
            with engine.connect() as connection:
                return connection.execute(text(query)).scalar_one()
        finally:
            engine.dispose()


@pytest.fixture
def archived():
    """A PostgreSQL whose log is archived."""
    with contextlib.ExitStack() as engines:
        try:
            url = engines.enter_context(run_postgres(ARCHIVING))
        except MissingEngineError as error:
            pytest.skip(str(error))
        yield PostgresServer(url)


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request, tmp_path):
    """A database that can be put back."""
    if request.param == "sqlite":
        yield SqliteFile(tmp_path)
        return
    yield request.getfixturevalue("archived")


class DocumentedReceiver:
    """`receiver.py` of the README, as a process; what it has handled, line by line."""

    def __init__(self, system: System) -> None:
        port = free_port()
        (endpoint,) = system.command("endpoints", "add", f"http://127.0.0.1:{port}/hook", "--json")
        self._system, self._log = system, system.home / "logs" / "shop.log"
        environment = system.environment | {"WEBHOOK_SECRET": endpoint["secret"], "PORT": str(port)}
        self.process = spawn("shop", ["python", str(RECEIVER)], environment, self._log)
        wait_until(lambda: "receiving on" in self._log.read_text(), "the receiver listens")

    def __enter__(self) -> DocumentedReceiver:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()

    def handled(self) -> list[str]:
        return [line for line in self._log.read_text().splitlines() if line.startswith(("invoice", "system"))]

    def wait_for(self, *lines: str) -> None:
        self._system.wait_until(lambda: set(lines) <= set(self.handled()), f"the receiver has handled {lines}")


def test_what_happens_after_a_restore_is_told_to_a_receiver_that_was_told_more_than_the_database_knows(tmp_path, store):
    accounts = {**ALL_PATIENT, "held": {"provider": "zeroxhost", "on_doubt": "hold", **PATIENT}}
    system = System(tmp_path, database_url=store.url, accounts=accounts, stays_embedded=store.url is None)
    with system, contextlib.ExitStack() as stack:
        shop = stack.enter_context(DocumentedReceiver(system))
        system.start("intake", "worker", "beat")
        system.order(zeroxhost_order("watched"))
        system.wait_for_statuses("watched", pending=1)
        invoice = system.invoices()["watched"]["id"]
        shop.wait_for(f"invoice.pending {invoice} watched")
        system.kill("worker")
        system.order(zeroxhost_order("waits"), zeroxhost_order("waits-held", account="held"))
        system.wait_for_statuses("waits", queued=2)

        store.back_up()

        system.start("worker")
        system.control("pay", {"provider": "zeroxhost", "order_id": "watched", "confirming": True})
        system.order(zeroxhost_order("forgotten"))
        system.wait_for_statuses("watched", confirming=1)
        system.wait_for_statuses("waits", pending=2)
        system.wait_for_statuses("forgotten", pending=1)
        shop.wait_for(f"invoice.confirming {invoice} watched", *pending_lines(system))
        for name in ("worker", "intake", "beat"):
            system.kill(name)
        told_before = set(shop.handled())
        system.engine.dispose()
        store.restore()

        assert dict(system.statuses()) == {"pending": 1, "queued": 2}
        system.control("pay", {"provider": "zeroxhost", "order_id": "watched"})
        (planned,) = system.command("restored", "--dry-run", "--json")
        (done,) = system.command("restored", "--json")
        assert done == planned | {"dry_run": False, "at": done["at"], "event_id": done["event_id"]}
        assert (done["epoch"], done["in_doubt"], done["held"], done["looked_up"]) == (1, 2, 1, 1)
        assert dict(system.statuses("waits")) == {"in_doubt": 2}

        system.start("intake", "worker", "beat")
        shop.wait_for("system.restored None None", f"invoice.paid {invoice} watched")
        system.wait_for_statuses("waits", pending=1, in_doubt=1)
        wait_until_all_is_handled(system, shop, told_before)
        assert_creates_followed_doubt(system)
        system.wait_until(lambda: stream_has_all(system), "the stream has every event")
        assert_the_stream_is_in_order(system)


def pending_lines(system):
    rows = system.invoices()
    return [f"invoice.pending {row['id']} {name}" for name, row in rows.items() if row["status"] == "pending"]


def wait_until_all_is_handled(system, shop, told_before):
    """Each event of the log since then is handled, once; a line may have been handled before the restore as well."""
    since = [told for told in system.events() if told["sequence"] > EPOCH_STEP or not told["sequence"]]
    lines = [
        f"{told['type']} {told['envelope'].get('subject')} {told['envelope']['data'].get('order_id')}" for told in since
    ]
    assert len(lines) == 3  # restored, paid, and what was created again
    wanted = {line: 1 + (line in told_before) for line in lines}
    system.wait_until(lambda: all(shop.handled().count(line) >= n for line, n in wanted.items()), f"handled: {wanted}")
    assert {line: shop.handled().count(line) for line in lines} == wanted


def assert_creates_followed_doubt(system):
    """One each before the backup's gap was known, and one more only where doubt is not held."""
    invoices, creates = system.invoices(), system.creates()
    assert (creates["waits"], invoices["waits"]["doubts"]) == (2, 1)
    assert (creates["waits-held"], invoices["waits-held"]["status"]) == (1, "in_doubt")
    assert creates["watched"] == 1


def stream_has_all(system):
    return {told["id"] for told in system.events()} <= {entry["id"] for entry in system.stream()}


def assert_the_stream_is_in_order(system):
    last: dict[str, int] = {}
    for entry in system.stream():
        if "sequence" in entry:
            sequence, before = int(entry["sequence"]), last.get(entry["subject"], 0)
            assert sequence <= before or follows(sequence, before), entry
            last[entry["subject"]] = max(before, sequence)


def test_a_moment_is_gone_back_to_under_live_load_by_the_runbook_s_own_commands(tmp_path, archived):
    """Orders flow before that moment, after it until the server is lost, and after the restore."""
    system = System(tmp_path, database_url=archived.url, accounts=ALL_PATIENT)
    with running(system, *PROCESSES), contextlib.ExitStack() as stack:
        traffic = Traffic(system, new_token(system, "orders"), per_second=8)
        stack.callback(traffic.stop)
        system.wait_until(lambda: system.statuses()["paid"] >= 10, "orders are paid before", SECONDS)
        archived.take_base()
        archived.back_up()
        known, happened = traffic.count(by_http=True), {told["id"] for told in system.events()}
        system.wait_until(lambda: traffic.count(by_http=True) >= known + 15, "orders are taken after that", SECONDS)
        told = functools.partial(received, system)
        system.wait_until(lambda: len(told() - happened) >= 30, "the shop is told of what happened after that", SECONDS)
        for name in PROCESSES:
            system.kill(name)
        system.engine.dispose()
        archived.restore()
        unknown = forgotten(system)
        paste("Restore", "tell", system.environment, cwd=ROOT)
        system.launch(*PROCESSES)
        known = traffic.count(by_http=True)
        system.wait_until(lambda: traffic.count(by_http=True) >= known + 15, "orders are taken again", SECONDS)
        traffic.stop()
        figures = Figures("restored")
        drain(system, traffic, figures, unknown)
        print(figures)
        assert figures.lost_orders >= 1
        assert figures.told_of_lost >= 1
        assert system.rows("SELECT count(*) AS n FROM event WHERE type = 'system.restored'") == [{"n": 1}]
        system.check_history()
        assert system.command("list", "--status", "in_doubt", "--json") == []


def test_without_a_moment_to_go_back_to_no_commit_is_lost_while_the_log_can_be_read(archived):
    """What was not archived yet is taken from beside the damaged data."""
    plain = make_url(archived.url).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(plain, autocommit=True) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 1 AS number")
        connection.execute("SELECT pg_switch_wal()")
        connection.execute("INSERT INTO kept VALUES (2)")
    archived.restore()
    with psycopg.connect(plain, autocommit=True) as connection:
        assert connection.execute("SELECT number FROM kept ORDER BY number").fetchall() == [(1,), (2,)]
