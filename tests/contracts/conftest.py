"""A fresh, migrated database for each test, on SQLite and on PostgreSQL; migrated once a session, then copied."""

from __future__ import annotations

import asyncio
import shutil

import pytest
from sqlalchemy.engine import make_url

from tests.contracts.api_cases import Service
from tests.contracts.store_cases import open_store
from tests.contracts.web_process import Site
from tests.engines import new_postgres_database
from tests.migrated import migrated_file, open_hasty
from tests.reused import Reused
from workers.embedded.sandbox.process import SandboxProcess
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
