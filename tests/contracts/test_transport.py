"""Our Redis transport beside kombu's own: the same tests on both, then what only ours promises."""

from __future__ import annotations

import json
import time

import pytest
from kombu import Connection, Exchange, Queue
from redis.exceptions import ConnectionError as BrokerConnectionError

from tests.contracts.broker_client import Broker, Reader, connect_redis, raw_message

DATABASE = 7
NEVER_SECONDS = 600  #: a lease that no test outlives: kombu's own is not renewed


@pytest.fixture
def server(valkey_broker_url):
    client, url = connect_redis(valkey_broker_url, DATABASE)
    client.flushdb()
    yield client, url
    client.flushdb()
    client.close()


@pytest.fixture(params=["stock", "ours"])
def either(request, server):
    return Broker(server[1], server[0], request.param, visibility_timeout=NEVER_SECONDS)


@pytest.fixture
def ours(server):
    return Broker(server[1], server[0], "ours")


@pytest.fixture
def open_reader():
    readers = []

    def open_one(broker, **options):
        readers.append(Reader(broker, **options))
        return readers[-1]

    yield open_one
    for reader in readers:
        reader.close()


# --- the same as kombu's ----------------------------------------------------------------------------------------------


def test_messages_come_in_order_and_are_recorded_until_they_are_acknowledged(either, open_reader):
    either.publish(1, 2, 3)
    reader = open_reader(either).read(3)
    assert reader.bodies == [1, 2, 3]
    assert either.unacked() == (3, 3)
    for message in reader.messages:
        message.ack()
    assert either.unacked() == (0, 0)
    assert either.waiting() == []


def test_higher_lists_are_read_first(either, open_reader):
    for level in (9, 3, 0, 6):
        either.publish(level, priority=level)
    assert open_reader(either).read(4).bodies == [0, 3, 6, 9]


def test_queues_take_turns(either, open_reader):
    either.publish(1, 2, 3)
    either.publish("a", "b", "c", queue="other")
    bodies = open_reader(either, queues=("orders", "other")).read(6).bodies
    assert [type(body) for body in bodies] in ([int, str] * 3, [str, int] * 3)


def test_a_rejected_message_is_gone(either, open_reader):
    either.publish(1)
    open_reader(either).read(1).messages[0].reject()
    assert either.unacked() == (0, 0)
    assert either.waiting() == []


def test_a_requeued_message_goes_to_the_end_of_its_queue_and_is_marked(either, open_reader):
    either.publish(1, 2)
    reader = open_reader(either, prefetch=1).read(1)
    reader.messages[0].requeue()
    assert either.waiting() == [2, 1]
    reader.read(2).messages[1].ack()
    again = reader.read(3).messages[2]
    assert reader.bodies == [1, 2, 1]
    assert again.headers["redelivered"] is True
    assert again.delivery_info["redelivered"] is True
    assert again.delivery_info["routing_key"] == "orders"


def test_no_more_than_the_prefetch_is_taken(either, open_reader):
    either.publish(*range(10))
    reader = open_reader(either, prefetch=3).read(3)
    for _ in range(3):
        reader.look()
    assert reader.bodies == [0, 1, 2]
    reader.messages[0].ack()
    assert reader.read(4).bodies == [0, 1, 2, 3]


def test_what_is_not_acknowledged_goes_back_when_the_connection_closes(either, open_reader):
    either.publish(1, 2, 3, 4, priority=3)
    reader = open_reader(either, prefetch=3).read(3)
    reader.messages[1].ack()
    reader.close()
    assert sorted(either.waiting()) == [1, 3, 4]
    assert either.unacked() == (0, 0)
    assert either.redis.llen("orders\x06\x163") == 3


def test_without_acknowledgements_nothing_is_recorded(either, open_reader):
    either.publish(1, 2)
    assert open_reader(either, no_ack=True).read(2).bodies == [1, 2]
    assert either.unacked() == (0, 0)


def test_one_message_can_be_fetched_by_itself(either):
    either.publish(1, 2, 3)
    with either.connect() as connection:
        channel = connection.channel()
        first, second = channel.basic_get("orders"), channel.basic_get("orders", no_ack=True)
        assert [json.loads(message.body) for message in (first, second)] == [1, 2]
        assert either.unacked() == (1, 1)
        first.ack()
        assert either.unacked() == (0, 0)
        channel.basic_get("orders").reject(requeue=True)
        channel.basic_get("orders").ack()
        assert channel.basic_get("orders") is None


@pytest.mark.parametrize("transport", ["stock", "ours"])
def test_all_keys_carry_the_global_prefix(server, open_reader, transport):
    broker = Broker(server[1], server[0], transport, global_keyprefix="shop:", visibility_timeout=NEVER_SECONDS)
    broker.publish(1, 2)
    reader = open_reader(broker, prefetch=1).read(1)
    assert broker.unacked() == (1, 1)
    reader.messages[0].requeue()
    reader.read(2).messages[1].ack()
    reader.close()
    assert broker.waiting() == [1]
    assert all(key.startswith(b"shop:") for key in server[0].scan_iter())


@pytest.mark.parametrize(("writer", "finder"), [("stock", "ours"), ("ours", "stock")])
def test_each_brings_back_what_the_other_left(server, open_reader, writer, finder):
    before = Broker(server[1], server[0], writer)
    before.publish({"order": "Müller 1.10"}, priority=6)
    Reader(before).read(1).die()
    reader = open_reader(Broker(server[1], server[0], finder)).read(1)
    assert reader.bodies == [{"order": "Müller 1.10"}]
    assert reader.messages[0].headers["redelivered"] is True


# --- what only ours promises ------------------------------------------------------------------------------------------


def test_a_message_is_recorded_before_its_consumer_has_read_it(ours, open_reader):
    ours.publish(1)
    dead = Reader(ours)
    dead.connection.transport.cycle.on_poll_start()  # the claim is sent, its answer never read
    wait_until(lambda: ours.unacked() == (1, 1))
    assert ours.waiting() == []
    dead.die()
    assert open_reader(ours).read(1).bodies == [1]


@pytest.mark.parametrize("handled", [False, True], ids=["before it was handled", "before it was acknowledged"])
def test_a_dead_consumers_messages_come_back_when_its_lease_ends(ours, open_reader, handled):
    ours.publish(1, 2)
    dead = Reader(ours).read(2)
    if handled:
        dead.messages[0].ack()
    dead.die()
    reader = open_reader(ours).read(1 if handled else 2)
    assert reader.bodies == ([2] if handled else [1, 2])


def test_a_slow_consumer_keeps_its_messages(server, open_reader):
    lease_seconds = 4.0
    ours = Broker(server[1], server[0], "ours", visibility_timeout=lease_seconds)
    ours.publish(1)
    slow = open_reader(ours).read(1)
    other = open_reader(ours)
    began = seen = time.monotonic()
    while seen < began + 2.5 * lease_seconds:
        slow.look()
        other.look()
        before, seen = seen, time.monotonic()
        if seen > before + lease_seconds / 2:
            pytest.skip("this machine stood still for half a lease: nobody could have renewed it")
    assert (slow.bodies, other.bodies) == ([1], [])
    slow.messages[0].ack()
    assert ours.unacked() == (0, 0)


def test_a_connection_cut_under_a_claim_loses_and_repeats_nothing(ours, open_reader):
    reader = open_reader(ours)
    for number in range(20):
        reader.connection.transport.cycle.on_poll_start()
        ours.publish(number)  # found by a claim that is under way
        wait_until(lambda: sum(ours.unacked()) or ours.waiting())
        ours.redis.client_kill_filter(_type="normal", skipme=True)
        while number not in reader.bodies:
            try:
                reader.read(len(reader.messages) + 1)
            except BrokerConnectionError:
                continue
        reader.messages[-1].ack()
    assert reader.bodies == list(range(20))
    assert ours.unacked() == (0, 0)


def test_a_claim_under_way_is_put_back_at_once_when_the_channel_closes(ours):
    reader = Reader(ours)
    reader.look()
    reader.connection.transport.cycle.on_poll_start()
    ours.publish(1)
    reader.close()
    assert ours.waiting() == [1]
    assert ours.unacked() == (0, 0)


def test_the_oldest_is_put_back_to_the_very_head(ours):
    ours.publish(*range(250))
    Reader(ours).read(240).close()
    assert ours.waiting() == list(range(250))


def test_an_acknowledgement_on_a_closed_channel_is_a_connection_error(ours):
    ours.publish(1)
    reader = Reader(ours).read(1)
    errors = reader.connection.connection_errors
    reader.close()
    with pytest.raises(errors, match="closed"):
        reader.messages[0].ack()


def test_a_full_server_can_be_worked_off(ours, open_reader):
    ours.publish(*range(5))
    reader = open_reader(ours)
    ours.redis.config_set("maxmemory", 1)
    try:
        assert reader.read(5).bodies == [0, 1, 2, 3, 4]
        reader.messages[0].requeue()
        for message in reader.messages[1:]:
            message.ack()
        reader.look()
        reader.read(6).messages[5].ack()
    finally:
        ours.redis.config_set("maxmemory", 0)
    assert ours.unacked() == (0, 0)


def test_a_broker_that_refuses_is_a_lost_connection(ours):
    reader = Reader(ours)
    ours.redis.set("orders", "a string where a list belongs")
    with pytest.raises(BrokerConnectionError, match="WRONGTYPE"):
        reader.read(1)
    ours.redis.delete("orders")
    ours.push(raw_message(1))
    assert reader.read(1).bodies == [1]
    reader.close()


def wait_until(condition, seconds=60.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


def test_a_sender_that_outlived_an_emptied_broker_reaches_the_queue_again(ours, open_reader):
    """kombu declares a queue once a connection, and drops what it sends to an exchange that leads nowhere."""
    queue = Queue("orders", Exchange("orders", type="direct"), routing_key="orders")
    reader = open_reader(ours)
    queue(reader.channel).declare()
    with Connection(ours.plain_url) as connection:  # without a dead letter queue, as foreign senders are
        producer = connection.Producer(serializer="json")

        def send(number):
            producer.publish(number, exchange=queue.exchange, routing_key="orders", declare=[queue])

        send(1)
        reader.read(1)
        ours.redis.flushdb()
        send(2)
        assert ours.waiting() == []

        end = time.monotonic() + 60
        while not ours.redis.exists("_kombu.binding.orders"):
            assert time.monotonic() < end, "the queue is still forgotten"
            reader.channel.qos.restore_visible()
            time.sleep(0.05)
        send(3)
        assert reader.read(2).bodies == [1, 3]
