"""The doctor sees that a database was put back and nobody ran `invoices restored`. The same on both databases."""

from __future__ import annotations

from datetime import timedelta

import pytest
import redis
from sqlalchemy import delete

from domain.event import RESTORED, notice
from tests.contracts.doctor_cases import settings, wrong
from tests.contracts.store_cases import OPERATOR, now, pend
from workers.cli.doctor.restored import check_restored
from workers.store.operate.restoration import restore
from workers.store.tables import EVENT

STREAM = "invoices:events"


@pytest.fixture
def config(tmp_path, empty_valkey_url):
    return settings(tmp_path, redis_url=empty_valkey_url)


@pytest.fixture
def stream(empty_valkey_url):
    with redis.Redis.from_url(empty_valkey_url) as client:
        yield lambda body: client.xadd(STREAM, {"event": body})


def tell_all(store, stream):
    for event in store.publishing.unpublished(100):
        stream(event.body)


def test_a_stream_that_was_told_what_the_database_knows_is_well(database, store, config, stream):
    assert list(check_restored(database, config)) == []
    pend(store, 2)
    tell_all(store, stream)
    assert list(check_restored(database, config)) == []


def test_a_stream_that_was_told_more_than_the_database_knows_is_wrong_until_the_command_was_run(
    database, store, config, stream
):
    pend(store, 2)
    tell_all(store, stream)
    with database.transaction() as connection:  # what a backup from before would not have
        connection.execute(delete(EVENT))
    assert wrong(check_restored(database, config)) == ["rewound"]
    (found,) = check_restored(database, config)
    assert found.command == "invoices restored"
    restore(store, OPERATOR, lambda _: 0.0)
    assert list(check_restored(database, config)) == []
    tell_all(store, stream)
    assert list(check_restored(database, config)) == []


def test_what_may_have_been_removed_for_its_age_says_nothing(database, tmp_path, empty_valkey_url, stream):
    stream(notice("evt_old", RESTORED, now(database) - timedelta(days=91), {}))
    assert list(check_restored(database, settings(tmp_path, redis_url=empty_valkey_url))) == []
    kept_for_ever = settings(tmp_path, redis_url=empty_valkey_url, retention_days=0)
    assert wrong(check_restored(database, kept_for_ever)) == ["rewound"]


@pytest.mark.parametrize(
    "body",
    [
        b"\xff",
        b"{",
        b"[]",
        b'{"id":1}',
        b'{"id":"evt_1","time":"soon"}',
        b'{"id":"evt_1","time":"2026-11-21"}',
        b'{"id":"x","time":"2026-11-21T00:00:00Z"}',
    ],
)
def test_somebody_else_s_entries_say_nothing(database, config, stream, body):
    stream(body)
    assert list(check_restored(database, config)) == []


def test_without_a_redis_nothing_is_said(database, tmp_path):
    assert list(check_restored(database, settings(tmp_path))) == []
