"""The budget for look-ups: shared, never exceeded, a part kept for callbacks, and nobody left without."""

from __future__ import annotations

import asyncio
import random
import time
from types import SimpleNamespace
from typing import Any

import pytest
import redis
from redis.asyncio import Redis

from domain.looks import Look
from workers.coordination import look_up_budget as budget
from workers.coordination.connections import ONE_TRY_ASYNC, open_async_redis
from workers.coordination.look_up_budget import LookUpBudget, key_of
from workers.coordination.rate_limit import ALONE_SHARE, RateLimit

SHOP = "shop"


class Driven:
    """The script's place: the same bucket at a time that the test sets."""

    def __init__(self, rate: float) -> None:
        self.now = 0.0
        self.bucket = budget._Bucket(rate, 0.0)

    def register_script(self, _source):
        async def call(keys, args):
            assert keys == [key_of(SHOP)]
            rate, asked, purpose = args
            assert rate == self.bucket.rate
            return self.bucket.take(asked, purpose, self.now)

        return call


def driven(rate):
    clock = Driven(rate)
    return clock, LookUpBudget(clock, {SHOP: rate})  # type: ignore[arg-type]


def run(rate, seconds, wants, step=0.1):
    """Tokens by kind when these kinds ask for so many each ``step`` of so many seconds."""
    clock, shared = driven(rate)

    async def story():
        got = dict.fromkeys(wants, 0)
        while clock.now < seconds:
            for look, asked in wants.items():
                granted, wait = await shared.take(SHOP, asked, look)
                assert granted == asked or wait > 0
                got[look] += granted
            clock.now += step
        return got

    return asyncio.run(story())


RATES = pytest.mark.parametrize("rate", [0.1, 0.5, 1, 2.5, 5, 10, 300])


@RATES
def test_no_mix_of_look_ups_exceeds_the_budget(rate):
    seconds = 400 / rate
    for wants in ({Look.OPEN: 100}, {Look.CALLED: 100}, {Look.CALLED: 1, Look.OPEN: 100}):
        got = run(rate, seconds, wants, step=seconds / 4000)
        spent = sum(got.values())
        assert spent <= rate * seconds + max(rate, budget.LEAST_SIZE)
        assert spent >= 0.95 * rate * seconds  # and none of it is wasted


@RATES
def test_a_callback_finds_tokens_however_many_others_have_been_waiting(rate):
    clock, shared = driven(rate)

    async def story():
        for _ in range(500):
            await shared.take(SHOP, 100, Look.OPEN)
            clock.now += 0.13 / rate
        return await shared.take(SHOP, 1, Look.CALLED)

    assert asyncio.run(story())[0] == 1


@RATES
def test_a_flood_of_callbacks_leaves_the_others_a_quarter(rate):
    seconds = 400 / rate
    got = run(rate, seconds, {Look.CALLED: 1000, Look.OPEN: 100}, step=seconds / 4000)
    assert got[Look.OPEN] >= 0.9 * budget.OTHERS_SHARE * rate * seconds
    assert got[Look.CALLED] >= 0.9 * (1 - budget.OTHERS_SHARE) * rate * seconds


def test_calls_that_were_not_made_come_back_and_what_was_made_beyond_is_owed():
    clock, shared = driven(10.0)

    async def story():
        first, _ = await shared.take(SHOP, 5, Look.OPEN)
        await shared.settle(SHOP, first, 1)
        again, _ = await shared.take(SHOP, 5, Look.OPEN)
        await shared.settle(SHOP, again, again + 10)
        owed, wait = await shared.take(SHOP, 1, Look.CALLED)
        clock.now += wait + 0.2
        return first, again, owed, (await shared.take(SHOP, 1, Look.CALLED))[0]

    first, again, owed, later = asyncio.run(story())
    assert (first, again, owed, later) == (5, 4, 0, 1)


def test_the_script_and_the_process_alone_count_alike(valkey_url):
    """The same questions at the same times bring the same answers."""
    source = budget._TAKE.replace("redis.call('TIME')", "{ARGV[4], '0'}").replace("'%.6f'", "'%.9f'")
    dice, key = random.Random(5), "test:look-ups"
    with redis.Redis.from_url(valkey_url) as client:
        script = client.register_script(source)
        for rate in (0.25, 2.0, 8.0, 64.0):
            client.delete(key)
            now, alone = 1_000_000.0, budget._Bucket(rate, 1_000_000.0)
            for _ in range(300):
                now += dice.choice([0.0, 0.125, 0.5, 4.0]) / rate
                purpose = dice.choice(["called", "other", "other", "settle"])
                asked = dice.choice([1, 3, 50]) if purpose != "settle" else dice.choice([-2, -1, 1, 4])
                granted, wait = script(keys=[key], args=[rate, asked, purpose, repr(now)])
                expected, expected_wait = alone.take(asked, purpose, now)
                assert granted == expected
                assert float(wait) == pytest.approx(expected_wait, abs=1e-6)
        client.delete(key)


def test_workers_that_share_it_never_exceed_it_together(empty_valkey_url):
    """Five processes' clients that ask as often as they can."""
    rate, granted = 40.0, []

    async def worker():
        client = Redis.from_url(empty_valkey_url)
        shared, until = LookUpBudget(client, {SHOP: rate}), time.monotonic() + 1.5
        while time.monotonic() < until:
            granted.append((await shared.take(SHOP, 7, random.choice([Look.CALLED, Look.OPEN])))[0])
        await client.aclose()

    async def story():
        await asyncio.gather(*(worker() for _ in range(5)))

    begun = time.monotonic()
    asyncio.run(story())
    assert rate <= sum(granted) <= rate * (time.monotonic() - begun) + rate


def test_while_redis_is_away_each_process_keeps_to_its_share(monkeypatch):
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr("workers.coordination.look_up_budget.time", SimpleNamespace(monotonic=lambda: clock.now))

    async def story():
        client = open_async_redis("redis://127.0.0.1:1", ONE_TRY_ASYNC)
        shared, got = LookUpBudget(client, {SHOP: 80.0}), 0
        for _ in range(100):
            got += (await shared.take(SHOP, 100, Look.OPEN))[0]
            clock.now += 0.1
        await client.aclose()
        return got

    got = asyncio.run(story())
    assert 90 <= got <= 80 / ALONE_SHARE * 10 + 80 / ALONE_SHARE


def test_look_ups_by_a_budget_are_part_of_the_accounts_rate(empty_valkey_url):
    """They wait for no create; creates wait until their tokens are there."""

    async def story():
        client: Any = Redis.from_url(empty_valkey_url)
        rate = RateLimit(client, {SHOP: 10.0, "free": None})
        await rate.spend(SHOP, 15)
        await rate.spend("free", 15)
        nothing, wait = await rate.take(SHOP, 5)
        await rate.give_back(SHOP, 10)
        some, _ = await rate.take(SHOP, 3)
        await client.aclose()
        return nothing, wait, some

    nothing, wait, some = asyncio.run(story())
    assert nothing == 0
    assert wait > 0
    assert some == 3
