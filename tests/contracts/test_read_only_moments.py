"""A server that takes no writes is a database that is away: what was tried is tried again, on another session."""

from __future__ import annotations

import contextlib

import pytest
from sqlalchemy import text

from config.database_url import check_database_url
from tests.contracts.store_cases import Background, open_store, order, subscribe, take
from tests.contracts.test_database_sessions import execute
from tests.engines import MissingEngineError, new_postgres_database
from tests.replicas import run_pair
from tests.servers import wait_until
from workers.cli.doctor.database import check_server
from workers.cli.errors import explain
from workers.store.database import UNAVAILABLE, Database, may_be_its_own
from workers.store.schema import upgrade


@pytest.fixture
def database(postgres_url, postgres_template):
    """A store's database with one session, so that it is known which one is used."""
    with (
        new_postgres_database(postgres_url, postgres_template) as url,
        contextlib.closing(Database(url, pool_size=1)) as database,
    ):
        subscribe(database)
        yield database


def session_of(database):
    with database.reading() as connection:
        return connection.execute(text("SELECT pg_backend_pid()")).scalar_one()


def name_of(database):
    return database.engine.url.database


def refuses_writes(database, order_id):
    with pytest.raises(UNAVAILABLE, match="read-only transaction") as caught:
        take(open_store(database), order(order_id))
    return caught.value


def test_a_default_that_an_operator_sets_is_respected_and_waited_for(database):
    """No setting of ours overrides it, no order is refused meanwhile, and writing goes on once it is lifted."""
    url, name = database.engine.url.render_as_string(hide_password=False), name_of(database)
    execute(url, f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    database.close()  # sessions begun before keep the old default
    error = refuses_writes(database, "during")
    assert not may_be_its_own(error)
    assert explain(error).startswith("the database takes no writes: ")
    (finding,) = check_server(database)
    assert (finding.state, finding.cause) == ("wrong", "read_only")
    execute(url, f"ALTER DATABASE {name} RESET default_transaction_read_only")
    assert len(take(open_store(database), order("during"))) == 1


def test_a_session_that_takes_no_writes_is_thrown_away(database):
    before = session_of(database)
    with database.engine.connect() as connection:
        connection.execute(text("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY"))
        connection.commit()
    refuses_writes(database, "first")
    assert len(take(open_store(database), order("first"))) == 1
    assert session_of(database) != before


# --- with a real replica ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pair():
    with contextlib.ExitStack() as stack:
        try:
            yield stack.enter_context(run_pair())
        except MissingEngineError as error:
            pytest.skip(str(error))


@pytest.mark.engines
def test_a_standby_is_a_database_that_is_away_for_reads_too(pair):
    with contextlib.closing(Database(pair.standby.url)) as database, pytest.raises(UNAVAILABLE, match="is a standby"):
        database.time()


@pytest.mark.engines
def test_a_promoted_server_is_written_to_and_the_old_primary_that_lives_on_no_more(pair, monkeypatch):
    """The last of this file. Whatever the servers' order in the address, and though the old one takes writes too."""
    monkeypatch.setattr("workers.store.primary.LOOK_SECONDS", 0.1)
    monkeypatch.setattr("workers.store.primary.LOOK_TIMEOUT_SECONDS", 60)  # a busy machine: nobody is away here
    upgrade(pair.primary.url)
    turned = f"postgresql://postgres@127.0.0.1:{pair.standby.port},127.0.0.1:{pair.primary.port}/postgres"
    with contextlib.ExitStack() as stack:

        def open_database(url):
            return stack.enter_context(contextlib.closing(Database(check_database_url(url), pool_size=2)))

        databases = [open_database(url) for url in (pair.url, turned)]
        for number, database in enumerate(databases):
            assert len(take(open_store(database), order(f"before-{number}"))) == 1
        pair.wait_until_streaming()
        waits = Background(lambda: wait_there(open_database(pair.url)))
        query = "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
        wait_until(lambda: pair.primary.ask(query), "a session waits on the old primary")
        pair.standby.promote()
        assert pair.primary.is_primary()
        with pytest.raises(UNAVAILABLE) as caught:  # it is woken, long before its time is up
            waits.result()
        assert not may_be_its_own(caught.value)
        wait_until(
            lambda: [port_of(database) for database in databases] == [pair.standby.port] * 2, "the old primary is left"
        )
        for number, database in enumerate((*databases, open_database(pair.url))):  # the last one knows nothing yet
            assert len(take(open_store(database), order(f"after-{number}"))) == 1
        pair.primary.kill()
        for number, database in enumerate(databases):
            assert len(take(open_store(database), order(f"alone-{number}"))) == 1
    assert pair.standby.ask("SELECT count(*) FROM invoice") == [(7,)]
    pair.primary.start()
    assert pair.primary.ask("SELECT count(*) FROM invoice") == [(2,)]


def wait_there(database):
    """For longer than a test may take, and no time-out of the session's ends it."""
    with database.engine.connect() as connection:
        connection.execute(text("SET statement_timeout = 0"))
        connection.execute(text("SELECT pg_sleep(3600)"))


def port_of(database):
    """Of the server that it is on; None while a session on the old one is being ended."""
    try:
        with database.reading() as connection:
            return connection.execute(text("SELECT inet_server_port()")).scalar_one()
    except UNAVAILABLE:
        return None
