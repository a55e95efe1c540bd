"""What libpq's variables, roles, databases and URLs say of a session changes nothing of what is stored, and how."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import uuid
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url
from sqlalchemy.pool import StaticPool

from tests.contracts.store_cases import events_of, invoice_of, open_store, order, pend, subscribe, take
from tests.engines import new_postgres_database
from workers.cli.doctor.database import check_sessions
from workers.store import session
from workers.store.database import UNAVAILABLE, Database
from workers.store.intake import Rejection
from workers.store.release import read_standing
from workers.store.schema import upgrade
from workers.store.session import SETTINGS

ROOT = Path(__file__).parents[2]
ODD_TEXT = "Größe 中文 \U0001f9fe \\ ' \" \\x41"

ENVIRONMENTS = {
    "German dates": {"PGDATESTYLE": "German"},
    "SQL dates, day first": {"PGDATESTYLE": "SQL, DMY"},
    "a zone": {"PGTZ": "Asia/Kolkata"},
    "Latin 1": {"PGCLIENTENCODING": "LATIN1"},
    "no encoding": {"PGCLIENTENCODING": "SQL_ASCII"},
    "options": {"PGOPTIONS": "-c datestyle=German -c standard_conforming_strings=off -c search_path=nowhere"},
    "everything at once": {
        "PGDATESTYLE": "Postgres",
        "PGTZ": "Pacific/Chatham",
        "PGCLIENTENCODING": "EUC_JP",
        "PGGEQO": "off",
        "PGAPPNAME": "somebody",
        "PGOPTIONS": "-c default_transaction_deferrable=on",
    },
}
DEFAULTS = {
    "dates": {"DateStyle": "German"},
    "intervals": {"IntervalStyle": "iso_8601"},
    "a zone": {"TimeZone": "America/St_Johns"},
    "serializable": {"default_transaction_isolation": "serializable"},
    "repeatable read": {"default_transaction_isolation": "repeatable read"},
    "deferrable": {"default_transaction_deferrable": "on"},
    "commits that are not waited for": {"synchronous_commit": "off"},
    "bytes as octal": {"bytea_output": "escape"},
    "short floats": {"extra_float_digits": "-15"},
    "backslashes in strings": {"standard_conforming_strings": "off"},
    "Latin 1": {"client_encoding": "LATIN1"},
    "no encoding": {"client_encoding": "SQL_ASCII"},
    "no schema": {"search_path": "''"},
    "another schema": {"search_path": "nowhere, pg_catalog"},
    "no index": {"enable_indexscan": "off", "enable_bitmapscan": "off", "enable_indexonlyscan": "off"},
    "hurry": {"statement_timeout": "1", "lock_timeout": "1", "idle_session_timeout": "1"},
    "quotes": {"quote_all_identifiers": "on", "array_nulls": "off", "transform_null_equals": "on"},
}  # fmt: skip
#: Where an operator may write such a default.
PLACES = ("ROLE {role}", "DATABASE {database}", "ROLE {role} IN DATABASE {database}")
#: Each default is set in the same way in every place: a few show it for the other places.
SHOWN_EVERYWHERE = ("dates", "no schema", "commits that are not waited for")


@pytest.fixture
def postgres(postgres_url, postgres_template):
    """(URL of a migrated database, a function that executes a statement there as its superuser)."""
    with new_postgres_database(postgres_url, postgres_template) as url:
        yield url, lambda statement: execute(postgres_url, statement)


@pytest.fixture
def role(postgres):
    """(name of a role that owns the database's tables, the database's URL for it)."""
    url, as_superuser = postgres
    name = f"shop_{uuid.uuid4().hex}"
    as_superuser(f"CREATE ROLE {name} LOGIN PASSWORD 'x'")
    execute(url, f"GRANT ALL ON SCHEMA public TO {name}")
    for kind in ("TABLES", "SEQUENCES"):
        execute(url, f"GRANT ALL ON ALL {kind} IN SCHEMA public TO {name}")
    yield name, make_url(url).set(username=name, password="x").render_as_string(hide_password=False)
    execute(url, f"DROP OWNED BY {name}")
    as_superuser(f"DROP ROLE {name}")


def execute(url, statement):
    plain = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(plain, autocommit=True, options="-c default_transaction_read_only=off") as connection:
        connection.execute(statement.encode())


def settings_of(database, names=(*SETTINGS, "synchronous_commit", "search_path")):
    with database.reading() as connection:
        query = text("SELECT name, setting FROM pg_settings WHERE name = ANY(:names)")
        return {row.name: row.setting for row in connection.execute(query, {"names": list(names)})}


WANTED = {**SETTINGS, "synchronous_commit": "on", "search_path": "public, pg_temp"}


def check_all(url):
    """What is relied on is set; an order, its event and a refused message come back as they were."""
    with contextlib.closing(Database(url)) as database:
        assert settings_of(database) == WANTED
        store = open_store(database)
        subscribe(database)
        (invoice_id,) = pend(store, payment_url="https://pay.example/ä")
        (event,) = events_of(database, invoice_id)
        assert b"https://pay.example/" in bytes(event.body)
        odd = order("odd", metadata={"note": ODD_TEXT}, price="0.1000000000000000055")
        (odd_id,) = take(store, odd)
        assert "Größe" in invoice_of(database, odd_id).metadata_json
        assert str(invoice_of(database, odd_id).price) == "0.1000000000000000055"
        store.reject([Rejection("key", None, ODD_TEXT, ODD_TEXT, False)])
        with database.reading() as connection:
            assert connection.execute(text("SELECT reason FROM rejected_message")).scalar_one() == ODD_TEXT


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_libpq_s_variables_change_nothing(postgres, monkeypatch, name):
    for variable, value in ENVIRONMENTS[name].items():
        monkeypatch.setenv(variable, value)
    check_all(postgres[0])


@pytest.mark.parametrize(
    ("name", "place"),
    [(name, place) for name in DEFAULTS for place in PLACES if place == PLACES[0] or name in SHOWN_EVERYWHERE],
)
def test_defaults_of_a_role_or_of_a_database_change_nothing(postgres, role, name, place):
    (role_name, url), (_, as_superuser) = role, postgres
    for setting, value in DEFAULTS[name].items():
        target = place.format(role=role_name, database=make_url(url).database)
        as_superuser(
            f"ALTER {target} SET {setting} = {value if value.startswith(chr(39)) else chr(39) + value + chr(39)}"
        )
    check_all(url)


def test_options_of_the_url_are_kept_and_ours_win(postgres):
    url = make_url(postgres[0]).update_query_dict({"options": "-c work_mem=5MB -c datestyle=German"}, append=True)
    with contextlib.closing(Database(url.render_as_string(hide_password=False))) as database:
        assert settings_of(database, ["work_mem", "DateStyle"]) == {"work_mem": "5120", "DateStyle": "ISO, MDY"}


def test_a_variable_leads_to_no_other_server_than_the_url_names(postgres, monkeypatch):
    monkeypatch.setenv("PGHOSTADDR", "127.0.0.9")
    with contextlib.closing(Database(postgres[0])) as database:
        assert database.read(read_standing).relation == "current"


def test_an_operator_may_ask_for_more_of_a_commit_than_we_do(postgres, role):
    postgres[1](f"ALTER ROLE {role[0]} SET synchronous_commit = remote_apply")
    with contextlib.closing(Database(role[1])) as database:
        assert settings_of(database, ["synchronous_commit"]) == {"synchronous_commit": "remote_apply"}


@pytest.mark.parametrize("statement", ["RESET ALL", "SET DateStyle = 'German'", "SET client_encoding = 'LATIN1'"])
def test_a_session_that_was_changed_is_set_up_again_before_it_is_used(postgres, monkeypatch, statement):
    monkeypatch.setenv("PGDATESTYLE", "German")
    with contextlib.closing(Database(postgres[0], pool_size=1)) as database:
        with database.engine.connect() as connection:
            connection.execution_options(isolation_level="AUTOCOMMIT").execute(text(statement))
        assert settings_of(database) == WANTED


def test_a_connection_made_after_another_was_cut_is_set_up_as_well(postgres, role, monkeypatch):
    monkeypatch.setenv("PGDATESTYLE", "German")
    with contextlib.closing(Database(postgres[0], pool_size=1)) as database:
        with database.reading() as connection:
            own = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
        postgres[1](f"SELECT pg_terminate_backend({own})")
        with pytest.raises(UNAVAILABLE):
            settings_of(database)
        assert settings_of(database) == WANTED


def test_a_transaction_says_itself_how_isolated_it_is(postgres):
    """Behind a pooler that hands out transactions, what was set for a session is another client's."""
    database = Database(postgres[0], pool_size=1)
    with database.engine.connect() as connection:
        connection.execute(text("SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE, DEFERRABLE"))
        connection.commit()
    with database.reading() as connection:
        shown = [
            connection.execute(text(f"SHOW transaction_{name}")).scalar_one() for name in ("isolation", "deferrable")
        ]
    database.close()
    assert shown == ["read committed", "off"]


def test_a_pooler_that_takes_no_options_gets_none(postgres):
    offered = []

    def open_one(**arguments):
        offered.append(arguments["options"])
        if arguments["options"]:
            raise psycopg.OperationalError("FATAL:  unsupported startup parameter: options")
        return psycopg.connect(**arguments)

    url = make_url(postgres[0])
    arguments = {"host": url.query["host"], "user": url.username, "dbname": url.database}
    with session.connect(open_one, arguments) as connection:
        assert connection.execute("SHOW lock_timeout").fetchone() == ("2s",)
    assert [bool(options) for options in offered] == [True, False]


def test_a_pooler_that_hands_out_transactions_is_told(postgres):
    with contextlib.closing(Database(postgres[0])) as database:
        assert list(check_sessions(database)) == []
        engine, database.engine = database.engine, create_engine(postgres[0], poolclass=StaticPool)  # a session for all
        (finding,) = check_sessions(database)
        database.engine.dispose()
        database.engine = engine
    assert (finding.state, finding.cause) == ("wrong", "pooled_transactions")


# --- the schema -------------------------------------------------------------------------------------------------------


def test_tables_are_found_in_the_schema_they_were_made_in_when_the_path_leads_nowhere_later(new_postgres_url):
    execute(new_postgres_url, "CREATE SCHEMA shop")
    url = make_url(new_postgres_url)
    for path in ("shop", "gone", "pg_catalog", "''"):
        one = url.update_query_dict({"options": f"-c search_path={path}"}).render_as_string(hide_password=False)
        if path == "shop":
            upgrade(one)
        with contextlib.closing(Database(one)) as database:
            assert database.read(read_standing).relation == "current"
            assert settings_of(database, ["search_path"]) == {"search_path": "shop, pg_temp"}


def test_a_table_of_somebody_else_in_an_earlier_schema_is_not_taken_for_ours(postgres):
    execute(postgres[0], "CREATE SCHEMA archive")
    execute(postgres[0], "CREATE TABLE archive.invoice (id text)")
    url = make_url(postgres[0]).update_query_dict({"options": "-c search_path=archive,public"})
    check_all(url.render_as_string(hide_password=False))


def test_two_systems_in_schemas_of_one_database_stay_apart(new_postgres_url):
    found = []
    for name in ("east", "west"):
        execute(new_postgres_url, f"CREATE SCHEMA {name}")
        url = make_url(new_postgres_url).update_query_dict({"options": f"-c search_path={name}"})
        upgrade(url.render_as_string(hide_password=False))
        with contextlib.closing(Database(url.render_as_string(hide_password=False))) as database:
            found.append(settings_of(database, ["search_path"])["search_path"])
            pend(open_store(database))
            with database.reading() as connection:
                assert connection.execute(text("SELECT count(*) FROM invoice")).scalar_one() == 1
    assert found == ["east, pg_temp", "west, pg_temp"]


def test_without_any_schema_in_its_path_a_database_is_migrated_in_public(new_postgres_url):
    name = make_url(new_postgres_url).database
    execute(new_postgres_url, f"ALTER DATABASE {name} SET search_path = ''")
    upgrade(new_postgres_url)
    check_all(new_postgres_url)


# --- a database that can't hold every text ----------------------------------------------------------------------------


@pytest.fixture(params=["LATIN1", pytest.param("SQL_ASCII", marks=pytest.mark.engines)])
def unfit_url(request, postgres_url):
    """A database of another encoding; its name is all that differs."""
    name = f"test_{uuid.uuid4().hex}"
    execute(postgres_url, f"CREATE DATABASE {name} ENCODING '{request.param}' TEMPLATE template0 LOCALE 'C'")
    yield request.param, make_url(postgres_url).set(database=name).render_as_string(hide_password=False)
    execute(postgres_url, f"DROP DATABASE {name} WITH (FORCE)")


def test_a_database_of_another_encoding_is_refused_in_one_line_that_names_the_cure(unfit_url, tmp_path):
    encoding, url = unfit_url
    environment = {name: value for name, value in os.environ.items() if not name.startswith("INVOICES_")}
    environment |= {
        "INVOICES_DATABASE_URL": url,
        "INVOICES_HOME": str(tmp_path),
        "INVOICES_SECRET_KEY": "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=",
        "INVOICES_BROKER_URL": "redis://127.0.0.1:1",
        "LC_ALL": "C",
    }
    worker = ["-m", "celery", "-q", "-A", "workers.app", "worker", "-Q", "invoices.intake", "-P", "threads", "-c", "1"]
    for command in (["-m", "workers.cli", "migrate"], ["-m", "workers.cli", "doctor", "--json"], worker):
        done = subprocess.run(
            [sys.executable, *command],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=180,
        )
        said = [line for line in (done.stdout + done.stderr).splitlines() if "encoding is" in line]
        assert done.returncode == 1
        assert len(said) == 1, (command, done.stdout, done.stderr)
        assert encoding in said[0]
        assert "ENCODING 'UTF8' TEMPLATE template0" in said[0]
        assert "Traceback" not in done.stderr


def test_a_database_of_another_encoding_that_turns_up_later_is_waited_for(unfit_url):
    """Orders wait in the broker; an answer of the database's would come too late for some of them."""
    with (
        contextlib.closing(Database(unfit_url[1])) as database,
        pytest.raises(UNAVAILABLE, match="encoding is"),
        database.transaction(),
    ):
        raise AssertionError("never reached")
