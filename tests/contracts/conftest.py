"""A fresh, migrated database for each test, on SQLite and on PostgreSQL; migrated once a session, then copied."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import URL, create_engine, text
from sqlalchemy.engine import make_url

from workers.store.database import Database
from workers.store.schema import upgrade


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory):
    """The path of a migrated SQLite file nobody has open."""
    path = tmp_path_factory.mktemp("sqlite") / "template.db"
    upgrade(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def postgres_template(postgres_url):
    """The name of a migrated PostgreSQL database nobody is connected to."""
    with _new_postgres_database(make_url(postgres_url)) as url:
        upgrade(url.render_as_string(hide_password=False))
        yield url.database


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request, tmp_path):
    """A fresh migrated database's URL."""
    if request.param == "sqlite":
        path = tmp_path / "invoices.db"
        shutil.copyfile(request.getfixturevalue("sqlite_template"), path)
        yield f"sqlite:///{path}"
        return
    server = make_url(request.getfixturevalue("postgres_url"))
    with _new_postgres_database(server, template=request.getfixturevalue("postgres_template")) as url:
        yield url.render_as_string(hide_password=False)


@pytest.fixture
def empty_database_url(request, tmp_path, database_kind):
    """The URL of a database without a single table."""
    if database_kind == "sqlite":
        yield f"sqlite:///{tmp_path / 'invoices.db'}"
        return
    with _new_postgres_database(make_url(request.getfixturevalue("postgres_url"))) as url:
        yield url.render_as_string(hide_password=False)


@pytest.fixture(params=["sqlite", "postgresql"])
def database_kind(request):
    """Which of the two databases a test is about."""
    return request.param


@pytest.fixture
def database(database_url):
    """A fresh migrated database."""
    database = Database(database_url)
    yield database
    database.close()


@contextmanager
def _new_postgres_database(server: URL, template: str = "template1") -> Iterator[URL]:
    name = f"test_{uuid.uuid4().hex}"
    engine = create_engine(server, isolation_level="AUTOCOMMIT")
    try:
        with engine.connect() as connection:
            connection.execute(text(f"CREATE DATABASE {name} TEMPLATE {template}"))
        try:
            yield server.set(database=name)
        finally:
            with engine.connect() as connection:
                connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    finally:
        engine.dispose()
