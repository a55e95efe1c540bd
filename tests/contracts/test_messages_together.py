"""Several messages at once: claimed by one script, handed over as one call, acknowledged or given back as a whole."""

from __future__ import annotations

import time

import pytest
from redis.exceptions import ConnectionError as BrokerConnectionError

from tests.contracts.broker_client import Broker, Reader, connect_redis
from workers.intake.message import CREATE, REJECT, Accepted
from workers.queue.batches import Bundle


@pytest.fixture
def server(valkey_broker_url):
    client, url = connect_redis(valkey_broker_url, 7)
    client.flushdb()
    yield url, client
    client.close()


@pytest.fixture
def ours(server):
    url, client = server
    return Broker(url, client, "ours")


@pytest.fixture(params=["stock", "ours"])
def bundled(request, server):
    """A broker, and a bundle of the first three of its four messages."""
    url, client = server
    broker = Broker(url, client, request.param)
    broker.publish(*range(4))
    reader = Reader(broker, prefetch=3).read(3)
    calls = [Accepted(CREATE, f"id-{body}", [f"text {body}", f"key-{body}", None]) for body in reader.bodies]
    yield broker, Bundle(list(zip(reader.messages, calls, strict=True)))
    reader.close()


def test_a_claim_takes_all_that_may_be_in_hand_and_each_message_has_a_record_of_its_own(ours):
    ours.publish(*range(6))
    reader = Reader(ours, prefetch=4)
    reader.look()
    assert reader.bodies == [0, 1, 2, 3]
    assert ours.unacked() == (4, 4)
    assert len({message.delivery_tag for message in reader.messages}) == 4
    reader.messages[2].ack()
    assert reader.read(5).bodies == [0, 1, 2, 3, 4]
    reader.close()
    assert ours.waiting() == [0, 1, 3, 4, 5]


def test_a_claim_of_large_messages_stops_before_it_holds_up_the_server(ours):
    ours.publish(*("x" * 150_000 for _ in range(5)))
    reader = Reader(ours, prefetch=10)
    reader.connection.transport.cycle.on_poll_start()
    wait_until(lambda: ours.unacked() == (2, 2))
    assert len(reader.read(5).messages) == 5
    reader.close()


def test_several_messages_are_acknowledged_in_one_step(ours):
    ours.publish(*range(5))
    reader = Reader(ours, prefetch=5).read(5)
    reader.channel.acknowledge([message.delivery_tag for message in reader.messages[:4]])
    assert ours.unacked() == (1, 1)
    ours.publish(*range(5, 10))
    assert reader.read(9).bodies == list(range(9))
    reader.close()


def test_a_claim_of_several_under_way_is_put_back_in_its_order(ours):
    reader = Reader(ours, prefetch=3)
    ours.publish(*range(5))
    reader.connection.transport.cycle.on_poll_start()
    wait_until(lambda: ours.unacked() == (3, 3))
    reader.close()
    assert ours.waiting() == list(range(5))
    assert ours.unacked() == (0, 0)


def test_celery_sees_one_call_with_what_each_message_asks_for(bundled):
    _, bundle = bundled
    calls = [Accepted(CREATE, f"id-{number}", [f"text {number}", f"key-{number}", None]) for number in range(3)]
    assert bundle.payload == bundle.body == [[calls], {}, {}]
    assert (bundle.headers["task"], bundle.headers["id"]) == (CREATE, "id-0")


def test_what_was_turned_away_comes_in_a_list_of_its_own_after_the_orders(ours):
    ours.publish(*range(3))
    reader = Reader(ours, prefetch=3).read(3)
    order, refused = Accepted(CREATE, "id-0", ["text", "key", None]), Accepted(REJECT, "id-1", ["why"])
    bundle = Bundle(list(zip(reader.messages, [order, refused, refused], strict=True)))
    assert bundle.payload == [[[order], [refused, refused]], {}, {}]
    assert bundle.headers["task"] == CREATE
    bundle.ack()
    assert ours.unacked() == (0, 0)
    reader.close()


def test_all_are_acknowledged_together(bundled):
    broker, bundle = bundled
    bundle.ack()
    assert broker.unacked() == (0, 0)
    assert broker.waiting() == [3]


def test_all_go_back_together(bundled):
    broker, bundle = bundled
    bundle.reject(requeue=True)
    assert broker.unacked() == (0, 0)
    assert sorted(broker.waiting()) == [0, 1, 2, 3]


@pytest.mark.parametrize("end", ["ack", "requeue"])
def test_messages_that_could_not_be_acknowledged_take_no_room_from_others(ours, end):
    """Celery logs the error and goes on: what takes up the prefetch for ever would stop the worker without a word."""
    ours.publish(*range(4))
    reader = Reader(ours, prefetch=2).read(2)
    calls = [Accepted(CREATE, f"id-{body}", []) for body in reader.bodies]
    bundle = Bundle(list(zip(reader.messages, calls, strict=True)))
    ours.redis.rename("unacked", "aside")
    ours.redis.set("unacked", "a string where a hash belongs")
    with pytest.raises(BrokerConnectionError, match="WRONGTYPE"):
        bundle.ack() if end == "ack" else bundle.reject(requeue=True)
    ours.redis.rename("aside", "unacked")
    assert reader.read(4).bodies == list(range(4))
    reader.close()


def wait_until(condition, seconds=60.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)
