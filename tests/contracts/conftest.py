"""A migrated database without rows for each test, on SQLite and on PostgreSQL, and what stands on it."""

from __future__ import annotations

import asyncio
import contextlib
import shutil

import pytest
from sqlalchemy.engine import make_url

from tests.contracts.api_cases import Service
from tests.contracts.plan_cases import fill
from tests.contracts.stepped_clock import HostClock, stepped_database, stepped_postgres
from tests.contracts.store_cases import open_store
from tests.contracts.web_process import Site
from tests.contracts.why_cases import Ground as Situation
from tests.engines import new_postgres_database
from tests.migrated import migrated_file, open_hasty
from tests.reused import Reused
from workers.embedded.sandbox.process import SandboxProcess
from workers.store.database import Database
from workers.store.schema import upgrade


@pytest.fixture(scope="session")
def sqlite_template():
    """The path of a migrated SQLite file nobody has open."""
    return migrated_file()


@pytest.fixture(scope="session")
def postgres_template(postgres_url):
    """The name of a migrated PostgreSQL database nobody is connected to."""
    with new_postgres_database(postgres_url) as url:
        upgrade(url)
        yield make_url(url).database


@pytest.fixture(scope="session")
def reused(postgres_url, postgres_template):
    """Migrated PostgreSQL databases that one test after the other gets."""
    reused = Reused(postgres_url, postgres_template)
    yield reused
    reused.close()


@pytest.fixture
def migrated_postgres_url(reused):
    """The URL of a migrated PostgreSQL database without rows."""
    with reused.lend() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request, tmp_path):
    """A fresh migrated database's URL."""
    if request.param == "sqlite":
        path = tmp_path / "invoices.db"
        shutil.copyfile(request.getfixturevalue("sqlite_template"), path)
        return f"sqlite:///{path}"
    return request.getfixturevalue("migrated_postgres_url")


@pytest.fixture
def empty_database_url(request, tmp_path, database_kind):
    """The URL of a database without a single table."""
    if database_kind == "sqlite":
        return f"sqlite:///{tmp_path / 'invoices.db'}"
    return request.getfixturevalue("new_postgres_url")


@pytest.fixture(params=["sqlite", "postgresql"])
def database_kind(request):
    """Which of the two databases a test is about."""
    return request.param


@pytest.fixture
def database(database_url, monkeypatch):
    """A fresh migrated database. A test that holds a lock may itself be held up, on a busy machine."""
    monkeypatch.setattr("workers.store.session.LOCK_WAIT_SECONDS", 30)
    database = open_hasty(database_url)
    yield database
    database.close()


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.engines)])
def crowded(request, tmp_path):
    """Many agenda rows: on PostgreSQL so many that reading them all is the worse plan for a batch, unanalyzed."""
    with contextlib.ExitStack() as cleanup:
        if request.param == "sqlite":
            path = tmp_path / "invoices.db"
            shutil.copyfile(request.getfixturevalue("sqlite_template"), path)
            url, rows = f"sqlite:///{path}", 5_000
        else:
            template = request.getfixturevalue("postgres_template")
            server = request.getfixturevalue("postgres_url")
            url, rows = cleanup.enter_context(new_postgres_database(server, template)), 100_000
        database = Database(url)
        cleanup.callback(database.close)
        fill(database, rows)
        yield database


@pytest.fixture(scope="module")
def stepped_server():
    """A PostgreSQL of a module's own, and its clock."""
    with contextlib.ExitStack() as stack:
        yield stack.enter_context(stepped_postgres())


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.engines)])
def stepped(request, tmp_path, sqlite_template):
    """A migrated database, and the clock it goes by."""
    if request.param == "postgresql":
        with stepped_database(*request.getfixturevalue("stepped_server")) as found:
            yield found
        return
    path, clock = tmp_path / "invoices.db", HostClock()
    path.write_bytes(sqlite_template.read_bytes())
    database = Database(f"sqlite:///{path}", clock=clock)
    yield database, clock
    database.close()


@pytest.fixture
def ground(database):
    """Everything runs, and is asked why nothing happens."""
    ground = Situation(database, open_store(database))
    ground.beat("intake", "worker", "web")
    return ground


@pytest.fixture
def rung():
    """The lanes that ``store`` rings."""
    return []


@pytest.fixture
def store(database, rung):
    """A store over the test's database."""
    return open_store(database, rung)


@pytest.fixture
def service(database):
    """The HTTP interface over the test's database, in this process."""
    service = Service(database)
    yield service
    service.close()


@pytest.fixture
def ask(service):
    """Asks the HTTP interface; its answer."""
    return lambda method, path, **how: asyncio.run(service.ask(method, path, **how))


@pytest.fixture
def get(ask):
    """The same, by GET."""
    return lambda path, **how: ask("GET", path, **how)


@pytest.fixture
def send(service):
    """Sends one order, and gives the answer."""
    return lambda fields, **how: asyncio.run(service.send(fields, **how))


@pytest.fixture
def site(tmp_path, database_url):
    """A web process over the test's database."""
    site = Site(tmp_path, database_url)
    yield site
    site.close()


@pytest.fixture(scope="module")
def sandbox():
    """A sandbox without options."""
    with SandboxProcess() as process:
        yield process
