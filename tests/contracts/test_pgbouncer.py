"""Behind a PgBouncer that hands out transactions: what is set holds, what can't work there says so."""

from __future__ import annotations

import concurrent.futures
import contextlib
import re

import pytest
from sqlalchemy import text

from tests.contracts.store_cases import open_store, order, take
from tests.engines import MissingEngineError, run_postgres
from tests.pgbouncer import DOCUMENTED, run_pgbouncer, set_role
from workers.cli.doctor.database import check_sessions
from workers.store.database import Database
from workers.store.schema import MigrationRefused, upgrade
from workers.store.session import lasting_settings

THREADS, ROUNDS = 8, 30


def test_the_documented_defaults_of_the_role_are_those_that_a_session_gets():
    role = (DOCUMENTED / "role.sql").read_text()
    said = re.findall(r"^ALTER ROLE CURRENT_USER SET (\w+) = '(.*)';$", role, re.MULTILINE)
    later = {"transaction_timeout"}  # no older PostgreSQL knows it, and what we want is its default
    assert dict(said) == {name: value for name, value in lasting_settings().items() if name not in later}


@pytest.fixture(scope="module")
def postgres():
    """A server of its own: the role's defaults are changed."""
    with contextlib.ExitStack() as stack:
        try:
            url = stack.enter_context(run_postgres({"synchronous_commit": "off", "listen_addresses": ""}))
        except MissingEngineError as error:
            pytest.skip(str(error))
        upgrade(url)
        yield url


@pytest.fixture
def pooled(postgres):
    """(the database's URL through the pooler, straight)."""
    with contextlib.ExitStack() as stack:
        try:
            yield stack.enter_context(run_pgbouncer(postgres)), postgres
        except MissingEngineError as error:
            pytest.skip(str(error))


@pytest.mark.engines
def test_the_doctor_names_what_does_not_hold_until_it_is_the_role_s_default(pooled):
    """The first of this file: later the role has its defaults."""
    through, straight = pooled
    with contextlib.closing(Database(through)) as database:
        (found,) = check_sessions(database)
    assert (found.state, found.cause, found.command) == (
        "wrong", "pooled_transactions", "invoices files pgbouncer/role.sql | psql"
    )  # fmt: skip
    assert {"synchronous_commit", "lock_timeout", "random_page_cost"} <= set(re.findall(r"\w+", found.detail))
    set_role(straight)
    with run_pgbouncer(straight) as later, contextlib.closing(Database(later)) as database:
        assert [finding.state for finding in check_sessions(database)] == ["ok"]


@pytest.mark.engines
def test_sessions_that_are_lent_for_a_transaction_have_every_setting_and_lose_no_statement(pooled):
    """More clients than sessions, each statement often enough to be prepared by the driver."""
    _, straight = pooled
    set_role(straight)
    with run_pgbouncer(straight) as later, contextlib.closing(Database(later, pool_size=THREADS)) as database:
        store = open_store(database)

        def use(thread):
            found = set()
            for number in range(ROUNDS):
                assert len(take(store, order(f"pooled-{thread}-{number}"))) == 1
                with database.reading() as connection:
                    query = text("SELECT pg_backend_pid(), name, setting FROM pg_settings WHERE name = ANY(:names)")
                    found |= {tuple(row) for row in connection.execute(query, {"names": list(lasting_settings())})}
            return found

        with concurrent.futures.ThreadPoolExecutor(THREADS) as threads:
            rows = set().union(*threads.map(use, range(THREADS)))
        assert 1 < len({pid for pid, _, _ in rows}) < THREADS
        wanted = lasting_settings()
        assert {(name, value) for _, name, value in rows if value != wanted[name]} == set()
        with database.reading() as connection:
            assert connection.execute(text("SELECT count(*) FROM invoice")).scalar_one() == THREADS * ROUNDS
            assert connection.execute(text("SELECT count(*) FROM pg_prepared_statements")).scalar_one() == 0


@pytest.mark.engines
def test_migrating_through_it_is_refused_with_the_way_around_it(pooled):
    with pytest.raises(MigrationRefused, match="name PostgreSQL itself in INVOICES_DATABASE_URL"):
        upgrade(pooled[0])
