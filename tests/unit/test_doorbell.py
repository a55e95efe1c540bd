"""Doorbells: rung by a thread of their own, once for many, and never a reason to wait."""

from __future__ import annotations

import threading
import time
from itertools import pairwise

import pytest
from fakeredis import FakeRedis
from redis import Redis

from domain.decision import Stage
from workers.coordination.connections import ONE_TRY, open_redis
from workers.coordination.doorbell import AWAY_SECONDS, Doorbell


class Post:
    """Takes messages; while the door is shut each waits."""

    def __init__(self):
        self.sent = []
        self.door = threading.Event()
        self.door.set()
        self.error = None

    def send(self, task, arguments):
        assert self.door.wait(60)
        self.sent.append((task, *arguments))
        if self.error:
            raise self.error


class HandTime:
    """A clock that is moved by hand."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def post():
    return Post()


def until(condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def test_a_lane_is_rung_once_until_somebody_heard_it(post):
    doorbell = Doorbell(FakeRedis(), post.send)
    doorbell.ring(Stage.DELIVER, "ep_1")
    until(lambda: post.sent)
    doorbell.ring(Stage.DELIVER, "ep_1")  # would say the same
    doorbell.ring(Stage.DELIVER, "ep_2")
    until(lambda: len(post.sent) == 2)
    doorbell.clear("deliver", "ep_1")
    doorbell.ring(Stage.DELIVER, "ep_1")
    until(lambda: len(post.sent) == 3)

    assert [lane for _, _, lane in post.sent] == ["ep_1", "ep_2", "ep_1"]
    assert {task for task, *_ in post.sent} == {"invoices.run"}


def test_whoever_rings_does_not_wait_for_a_broker_that_hangs(post):
    doorbell = Doorbell(FakeRedis(), post.send)
    post.door.clear()
    for _ in range(3):
        for lane in ("ep_1", "ep_2"):
            doorbell.ring(Stage.DELIVER, lane)  # a doorbell that waited would wait for ever here

    assert post.sent == []
    post.door.set()
    until(lambda: len(post.sent) == 2)


def test_after_a_failure_nobody_is_asked_for_a_second(post):
    clock, client = HandTime(), FakeRedis()
    doorbell = Doorbell(client, post.send, clock)
    post.error = ConnectionError("the broker is away")
    doorbell.ring(Stage.DELIVER, "ep_1")
    until(lambda: doorbell._away_until)
    post.error = None
    doorbell.ring(Stage.DELIVER, "ep_2")
    doorbell.clear("deliver", "ep_1")

    assert client.exists("invoices:bell:deliver:ep_1")
    clock.now += AWAY_SECONDS
    doorbell.ring(Stage.DELIVER, "ep_3")
    until(lambda: len(post.sent) == 2)
    assert [lane for _, _, lane in post.sent] == ["ep_1", "ep_3"]


def test_doorbells_that_could_not_be_rung_are_no_reason_to_ring_rarely(post):
    """Else a broker that was away for minutes would cost every order a second for an hour."""
    clock, redis = HandTime(), FakeRedis()
    doorbell = Doorbell(redis, post.send, clock)
    post.error = ConnectionError("the broker is away")
    for number in range(8):
        doorbell.ring(Stage.CREATE, "shop")
        until(lambda wanted=number + 1: len(post.sent) == wanted)
        until(lambda: doorbell._away_until > clock.now)
        clock.now += AWAY_SECONDS
        redis.delete("invoices:bell:create:shop")  # its time is up
    post.error = None
    doorbell.ring(Stage.CREATE, "shop")
    until(lambda: len(post.sent) == 9)
    assert redis.pttl("invoices:bell:create:shop") <= 1000


def test_a_doorbell_that_is_left_pending_stays_quiet_for_its_second_and_gets_no_rarer(post):
    redis = FakeRedis()
    doorbell = Doorbell(redis, post.send)
    for number in range(3):
        doorbell.ring(Stage.CREATE, "busy")
        until(lambda wanted=number + 1: len(post.sent) == wanted)
        doorbell.leave_pending("create", "busy")
        doorbell.ring(Stage.CREATE, "busy")  # in vain: the lane that heard it goes on by itself
        doorbell.ring(Stage.CREATE, f"other-{number}")
        until(lambda wanted=f"other-{number}": post.sent[-1][2] == wanted)
        post.sent = post.sent[:-1]
        assert 0 < redis.pttl("invoices:bell:create:busy") <= 1000
        redis.delete("invoices:bell:create:busy")  # its time is up
    assert len(post.sent) == 3


def test_the_bell_s_client_asks_a_redis_that_is_away_once(post):
    client = open_redis("redis://127.0.0.1:1/0", ONE_TRY)

    assert isinstance(client, Redis)
    assert client.connection_pool.connection_kwargs["retry"].get_retries() == 0
    assert client.connection_pool.connection_kwargs["socket_timeout"] <= 1
    doorbell = Doorbell(client, post.send)
    doorbell.clear("deliver", "ep_1")
    assert doorbell._away_until > 0
    assert post.sent == []


def test_doorbells_that_nobody_hears_get_rare_and_the_first_heard_one_makes_them_quick_again(post):
    redis = FakeRedis()
    key = "invoices:bell:create:shop"
    quiet = []
    for number in range(4):
        doorbell = Doorbell(redis, post.send)  # whoever rings: what was not heard is known to all
        doorbell.ring(Stage.CREATE, "shop")
        until(lambda wanted=number + 1: len(post.sent) == wanted)
        quiet.append(redis.pttl(key))
        redis.delete(key)  # its time is up
    assert all(later > 1.5 * earlier for earlier, later in pairwise(quiet))
    doorbell.clear("create", "shop")
    doorbell.ring(Stage.CREATE, "shop")
    until(lambda: len(post.sent) == 5)
    assert redis.pttl(key) <= quiet[0] + 1000
