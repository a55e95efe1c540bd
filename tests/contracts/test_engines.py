"""The engines that other tests stand on."""

from __future__ import annotations

import psycopg
import redis
from sqlalchemy.engine import make_url

from tests.engines import new_postgres_database


def connect(url: str) -> psycopg.Connection:
    return psycopg.connect(make_url(url).set(drivername="postgresql").render_as_string(hide_password=False))


def test_each_test_can_have_a_postgresql_database_of_its_own(postgres_url, new_postgres_url):
    with connect(new_postgres_url) as first:
        first.execute("CREATE TABLE only_here ()")
    with new_postgres_database(postgres_url) as other, connect(other) as second:
        assert second.execute("SELECT to_regclass('only_here')").fetchone() == (None,)


def test_a_database_can_be_copied_from_a_template(postgres_url, new_postgres_url):
    with connect(new_postgres_url) as original:
        original.execute("CREATE TABLE copied ()")
    template = make_url(new_postgres_url).database
    assert template is not None

    with new_postgres_database(postgres_url, template) as copy, connect(copy) as connection:
        assert connection.execute("SELECT to_regclass('copied')").fetchone() == ("copied",)


def test_an_emptied_valkey_is_empty(empty_valkey_url):
    with redis.Redis.from_url(empty_valkey_url) as client:
        assert client.dbsize() == 0
        client.set("left", "behind")
