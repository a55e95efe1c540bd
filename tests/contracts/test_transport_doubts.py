"""A step that was done and its answer lost, done late, done by two, or broken off: no message is lost or stuck."""

from __future__ import annotations

import json
import time
from queue import Empty
from random import Random

import pytest
from kombu import Connection, Exchange, Queue

from tests.acceptance.proxy import Door
from tests.contracts.broker_client import LEASE_SECONDS, OPTIONS, Broker, Reader, connect_redis, raw_message
from workers.transport.scripts import OVERDUE

DATABASE = 10
DRAIN_SECONDS = 60  #: at most, for what is still there


@pytest.fixture
def ours(valkey_broker_url):
    client, url = connect_redis(valkey_broker_url, DATABASE)
    client.flushdb()
    yield Broker(url, client, "ours")
    client.flushdb()
    client.close()


@pytest.fixture
def door(valkey_broker_url):
    with Door(valkey_broker_url.removeprefix("redis+socket://")) as door:
        yield door


@pytest.fixture
def behind(ours, door):
    """The same broker as its consumers reach it through the door."""
    options = {"socket_timeout": 2.0, "health_check_interval": 30}
    return Broker(f"redis://127.0.0.1:{door.port}/{DATABASE}", ours.redis, "ours", **options)


def drain(broker, seconds=3 * LEASE_SECONDS):
    """What comes to a new consumer, once all leases of the others are over; on a busy machine that may take longer."""
    reader, end = Reader(broker), time.monotonic() + seconds
    last = end + DRAIN_SECONDS
    while (now := time.monotonic()) < end or (now < last and others_have_some(broker, reader)):
        reader.look()
    for message in reader.messages:
        message.ack()
    reader.close()
    return sorted(reader.bodies)


def others_have_some(broker, reader):
    """Whether a message waits, or is recorded and not among the reader's."""
    return broker.waiting() or broker.unacked()[1] > len(reader.messages)


# --- answers that are lost --------------------------------------------------------------------------------------------


def cut_after(door, step, errors):
    """``step`` reaches the broker, its answer nobody; then the connection is gone."""
    door.halve()
    with pytest.raises(errors):
        step()
    door.shut()
    door.open()


def test_an_acknowledgement_whose_answer_is_lost_is_one(ours, behind, door):
    ours.publish(1, 2)
    reader = Reader(behind).read(2)
    cut_after(door, reader.messages[0].ack, reader.connection.connection_errors)
    reader.die()
    assert drain(ours) == [2]
    assert ours.unacked() == (0, 0)


@pytest.mark.parametrize("multiple", [1, 3])
def test_an_acknowledgement_of_several_whose_answer_is_lost_is_one(ours, behind, door, multiple):
    ours.publish(*range(4))
    reader = Reader(behind).read(4)
    tags = [message.delivery_tag for message in reader.messages[:multiple]]
    cut_after(door, lambda: reader.channel.acknowledge(tags), reader.connection.connection_errors)
    reader.die()
    assert drain(ours) == list(range(multiple, 4))


def test_a_message_given_back_without_an_answer_is_there_once(ours, behind, door):
    ours.publish(1)
    reader = Reader(behind).read(1)
    cut_after(door, reader.messages[0].requeue, reader.connection.connection_errors)
    reader.die()
    assert drain(ours) == [1]


def test_a_claim_whose_answer_is_lost_is_taken_back_at_once(ours, behind, door):
    reader = Reader(behind, prefetch=5)
    reader.connection.transport.cycle.on_poll_start()
    with pytest.raises(Empty):
        reader.channel._brpop_read()  # it is connected, and nothing is under way
    ours.publish(1, 2, 3)
    door.halve()
    reader.connection.transport.cycle.on_poll_start()
    end = time.monotonic() + 60
    while not sum(ours.unacked()):
        assert time.monotonic() < end
        time.sleep(0.005)
    door.shut()
    door.open()
    while len(reader.messages) < 3:
        assert time.monotonic() < end
        try:
            reader.look()
        except reader.connection.connection_errors:
            continue
    assert sorted(reader.bodies) == [1, 2, 3]
    assert ours.unacked() == (3, 3)
    reader.close()


def test_a_claim_that_the_broker_meets_only_after_it_was_taken_back_ends_with_its_lease(ours):
    """Cut off, asked about, and then, late, executed: nobody renews what it found."""
    ours.publish(1)
    reader = Reader(ours)
    claim = reader.channel._new_claim(1, ["orders"], waits=False)
    for tag in claim.tags:
        reader.channel.qos.hold(tag)
    reader.channel.qos.put_back(claim.tags)
    ours.redis.execute_command(*reader.channel._claim_command(claim, set()))
    assert ours.unacked() == (1, 1)
    assert drain(ours) == [1]
    reader.close()


# --- two at once ------------------------------------------------------------------------------------------------------


def test_two_who_bring_back_the_same_messages_bring_back_each_once(ours):
    ours.publish(1, 2, 3)
    Reader(ours).read(3).die()
    first, second = Reader(ours), Reader(ours)
    time.sleep(1.2 * LEASE_SECONDS)
    one, two = first.channel.qos, second.channel.qos
    found = one.channel.run_script(OVERDUE, ["unacked_index", "unacked"], [LEASE_SECONDS, 100])
    two.restore_overdue()
    assert one._put_back(list(zip(found[::2], found[1::2], strict=True)), "RPUSH", LEASE_SECONDS) == 0
    assert sorted(ours.waiting()) == [1, 2, 3]
    first.close()
    second.close()


def test_a_late_acknowledgement_takes_nothing_from_who_has_the_message_now(ours):
    ours.publish(1)
    late = Reader(ours).read(1)
    time.sleep(1.2 * LEASE_SECONDS)  # it sleeps through its lease
    now = Reader(ours).read(1)
    late.messages[0].ack()
    assert ours.unacked() == (1, 1)
    now.die()
    assert drain(ours) == [1]
    late.close()


def test_a_message_given_back_late_is_there_once(ours):
    ours.publish(1)
    late = Reader(ours).read(1)
    time.sleep(1.2 * LEASE_SECONDS)
    now = Reader(ours).read(1)
    late.messages[0].requeue()
    assert ours.waiting() == []
    now.messages[0].ack()
    late.close()
    now.close()
    assert drain(ours) == []


# --- broken off -------------------------------------------------------------------------------------------------------


def test_a_consumer_that_trips_over_one_of_several_messages_loses_none(ours):
    ours.publish(1, 2, 3)
    reader = Reader(ours, prefetch=3)

    def trip(message):
        raise ZeroDivisionError

    reader.consumer.on_message = trip
    with pytest.raises(ZeroDivisionError):
        reader.read(1)
    reader.close()
    assert drain(ours) == [1, 2, 3]


def test_a_message_whose_sender_named_an_exchange_that_nobody_knows_is_brought_back_all_the_same(ours):
    """kombu's own record says where it was sent; kombu's own consumer drops it where no dead letter queue is set."""
    options = {name: value for name, value in OPTIONS.items() if name != "deadletter_queue"}
    stock = Broker(ours.plain_url, ours.redis, "stock")
    stock.options = options
    stock.push(raw_message(1, properties={"delivery_tag": "t", "delivery_info": {"exchange": "x", "routing_key": "y"}}))
    Reader(stock).read(1).die()
    ours.options = options
    reader, end = Reader(ours), time.monotonic() + 60
    while ours.unacked() != (0, 0):
        assert time.monotonic() < end
        reader.look()
    reader.close()
    assert ours.waiting("celery") == [1]


# --- all of it, in any order ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_whatever_happens_in_whatever_order_every_message_is_acknowledged_or_still_there(ours, seed):
    Storm(ours, seed).blow(250)


@pytest.mark.engines
@pytest.mark.timeout(900)
def test_many_storms(ours):
    for seed in range(100, 112):
        ours.redis.flushdb()
        Storm(ours, seed).blow(400)


class Storm:
    """Consumers that die, are cut off, sleep, give back and acknowledge late, in an order drawn from the seed."""

    CONSUMERS = 4

    def __init__(self, broker, seed):
        self.broker, self.random = broker, Random(seed)
        self.readers = []
        self.published, self.acknowledged = 0, set()
        self.queue = Queue("orders", Exchange("orders", type="direct"), routing_key="orders")
        self.connection = Connection(broker.plain_url, transport_options=broker.options)
        self.producer = self.connection.Producer(serializer="json")

    def blow(self, steps):
        deeds = [self.publish, self.look, self.look, self.acknowledge, self.acknowledge, self.acknowledge_together]
        deeds += [self.give_back, self.die, self.leave, self.cut, self.claim_unread, self.lose_an_answer]
        deeds += [self.claim_late, self.bring_back]
        for _ in range(steps):
            while len(self.readers) < self.CONSUMERS:
                self.readers.append(Reader(self.broker, prefetch=self.random.choice((1, 4, 16))))
            deed = self.random.choice(deeds)
            try:
                deed()
            except self.readers[0].connection.connection_errors:
                continue  # it was cut
            assert_whole(self.broker)
        while self.readers:
            self.die()
        self.connection.release()
        for body in drain(self.broker):
            self.acknowledged.add(body)
        assert self.acknowledged == set(range(self.published))
        assert self.broker.unacked() == (0, 0)

    def publish(self):
        for _ in range(self.random.randint(1, 5)):
            priority = self.random.choice((0, 3, 9))
            self.producer.publish(
                self.published,
                exchange=self.queue.exchange,
                routing_key="orders",
                declare=[self.queue],
                priority=priority,
            )
            self.published += 1

    def look(self):
        self.random.choice(self.readers).look(0.01)

    def acknowledge(self):
        for message in self.some_messages(1):
            message.ack()
            self.acknowledged.add(json.loads(message.body))

    def acknowledge_together(self):
        reader = self.random.choice(self.readers)
        messages = [m for m in reader.messages if not m.acknowledged][:3]
        if messages:
            # What is done with an answer that is lost is done: count before it is asked for.
            self.acknowledged |= {json.loads(message.body) for message in messages}
            reader.channel.acknowledge([message.delivery_tag for message in messages])
            reader.messages = [message for message in reader.messages if message not in messages]

    def give_back(self):
        for message in self.some_messages(1):
            message.requeue()

    def some_messages(self, count):
        held = [message for reader in self.readers for message in reader.messages if not message.acknowledged]
        return self.random.sample(held, min(count, len(held)))

    def die(self):
        self.take_out().die()

    def leave(self):
        self.take_out().close()

    def cut(self):
        self.broker.redis.client_kill_filter(_type="normal", skipme=True)

    def claim_unread(self):
        reader = self.random.choice(self.readers)
        reader.connection.transport.cycle.on_poll_start()

    def lose_an_answer(self):
        self.publish()
        channel = self.random.choice(self.readers).channel
        channel.connection.cycle.on_poll_start()
        time.sleep(0.01)  # for most of them the claim has found something by now
        channel.client.connection.disconnect()

    def claim_late(self):
        channel = self.random.choice(self.readers).channel
        claim = channel._new_claim(self.random.randint(1, 4), ["orders"], waits=False)
        for tag in claim.tags:
            channel.qos.hold(tag)
        channel.qos.put_back(claim.tags)
        self.broker.redis.execute_command(*channel._claim_command(claim, set()))

    def bring_back(self):
        self.random.choice(self.readers).channel.qos.restore_overdue()

    def take_out(self):
        return self.readers.pop(self.random.randrange(len(self.readers)))


def assert_whole(broker):
    """Each record has its entry in the index, without which it would never come back."""
    with broker.redis.pipeline(transaction=True) as pipe:
        index, records = pipe.zrange("unacked_index", 0, -1).hkeys("unacked").execute()
    assert set(index) == set(records)
