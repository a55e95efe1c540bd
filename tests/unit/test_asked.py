"""Which accounts' workers have asked Redis of late how many calls they may make."""

from __future__ import annotations

import fakeredis
import pytest
import redis

from domain.account import Account
from domain.decision import Stage
from workers.coordination import look_up_budget, rate_limit
from workers.coordination.asked import read_asked


def account(name, **fields):
    return Account(name=name, provider="nebulox", base_url="http://127.0.0.1:1", api_key="k", **fields)


ACCOUNTS = {
    one.name: one
    for one in (account("free"), account("rated", rate_per_second=0.01), account("budgeted", look_ups_per_second=0.01))
}


@pytest.fixture
def client():
    return fakeredis.FakeStrictRedis()


def test_nobody_has_asked_where_no_bucket_is(client):
    assert read_asked(client, ACCOUNTS) == frozenset()


def test_a_rate_is_of_creates_and_look_ups_and_a_budget_of_look_ups(client):
    client.hset(rate_limit.key_of("rated"), "tokens", 0)
    assert read_asked(client, ACCOUNTS) == {(Stage.CREATE, "rated"), (Stage.CHECK, "rated")}
    client.hset(look_up_budget.key_of("budgeted"), "tokens", 0)
    assert read_asked(client, ACCOUNTS) - {(Stage.CREATE, "rated"), (Stage.CHECK, "rated")} == {
        (Stage.CHECK, "budgeted")
    }


def test_without_redis_nobody_is_known_to_have_asked():
    away = fakeredis.FakeServer()
    away.connected = False
    with pytest.raises(redis.ConnectionError):
        fakeredis.FakeStrictRedis(server=away).ping()
    assert read_asked(fakeredis.FakeStrictRedis(server=away), ACCOUNTS) == frozenset()
