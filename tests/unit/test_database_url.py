"""The database's address: one server, or several of which the primary is meant, in libpq's words or SQLAlchemy's."""

from __future__ import annotations

import pytest
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.engine import make_url

from config.database_url import check_database_url


def arguments(url):
    """What psycopg is given."""
    return PGDialect_psycopg().create_connect_args(make_url(check_database_url(url)))[1]


@pytest.mark.parametrize(
    ("url", "hosts", "ports"),
    [
        ("postgresql://shop:p%40s@db-a:5432,db-b:5433/invoices", "db-a,db-b", "5432,5433"),
        ("postgres://shop:p%40s@db_a,db_b/invoices", "db_a,db_b", ""),
        ("postgresql+psycopg://shop:p%40s@[::1]:5432,127.0.0.1/invoices", "::1,127.0.0.1", "5432,"),
        ("postgresql://shop:p%40s@%2Frun%2Fa,%2Frun%2Fb/invoices", "/run/a,/run/b", ""),
        ("postgresql://shop:p%40s@/invoices?host=a:5432&host=b:5433", "a,b", "5432,5433"),
        ("postgresql://shop:p%40s@/invoices?host=a,b&port=5432,5433", "a,b", "5432,5433"),
    ],
)
def test_of_several_servers_the_one_that_takes_writes_is_meant(url, hosts, ports):
    given = arguments(url)
    assert (given["host"], given.get("port", "").strip(",")) == (hosts, ports.strip(","))
    assert (given["user"], given["password"], given["dbname"]) == ("shop", "p@s", "invoices")
    assert given["target_session_attrs"] == "read-write"


def test_what_the_address_says_itself_is_kept():
    given = arguments("postgresql://shop@a,b/invoices?target_session_attrs=primary&sslmode=require")
    assert (given["target_session_attrs"], given["sslmode"]) == ("primary", "require")


def test_one_server_is_given_as_it_was():
    assert check_database_url("postgres://shop:x@db/invoices?sslmode=require") == (
        "postgresql+psycopg://shop:x@db/invoices?sslmode=require"
    )


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("postgresql://a,b/invoices?target_session_attrs=any", "must be read-write or primary: orders are written"),
        ("postgresql://a/invoices?target_session_attrs=standby", "must be read-write or primary: orders are written"),
        ("postgresql://a:5432,b:port/invoices", "valid host and port"),
        ("postgresql://a:5432,b:65536/invoices", "valid host and port"),
        ("postgresql://a,[::1/invoices", "valid host and port"),
        ("postgresql://a,b/invoices?host=c", "must name its servers once"),
        ("postgresql://a,b", "must name a database"),
        ("postgresql://a,b/?sslmode=require", "must name a database"),
    ],
)
def test_an_address_that_can_lead_to_no_primary_is_refused_in_a_sentence(url, said):
    with pytest.raises(ValueError, match=said):
        check_database_url(url)
