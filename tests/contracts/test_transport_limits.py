"""What a message may cost: long ones stay on the server, and one that ends its consumers again and again is told so."""

from __future__ import annotations

import json

import pytest

from tests.contracts.broker_client import Broker, Reader, connect_redis, raw_message
from workers.transport.message import count_deaths_of_item, read_item
from workers.transport.message_limits import (
    CLAIM_BYTES,
    EXCERPT_BYTES,
    LONELY_AFTER_DEATHS,
    MAX_BYTES_IN_HAND,
    MAX_DEATHS,
    MAX_DEATHS_UNREAD,
    MAX_ENVELOPE_BYTES,
    MAX_ENVELOPE_VALUES,
    MAX_ITEM_BYTES,
    MIB,
)

DATABASE = 11
TOO_LONG = MAX_ITEM_BYTES + 1


@pytest.fixture
def ours(valkey_broker_url):
    client, url = connect_redis(valkey_broker_url, DATABASE)
    client.flushdb()
    yield Broker(url, client, "ours", isolates=True)
    client.flushdb()
    client.close()


def acknowledge_all(reader):
    for message in [*reader.messages, *(message for message, _ in reader.broken)]:
        message.ack()
    reader.close()


def long_item(length=TOO_LONG, ending="t"):
    return (b'{"body": "begins so' + b"x" * length)[: length - len(ending)] + ending.encode()


# --- long messages ----------------------------------------------------------------------------------------------------


def test_a_message_that_is_too_long_never_leaves_the_server_and_holds_up_no_other(ours):
    ours.push(long_item())
    ours.publish("good")
    reader = Reader(ours, prefetch=10).read(2)
    assert reader.bodies == ["good"]
    ((message, reason),) = reader.broken
    assert reason == f"the message is {TOO_LONG} bytes long, at most {MAX_ITEM_BYTES} are taken"
    assert bytes(message.body) == long_item()[:EXCERPT_BYTES]
    records = ours.redis.hvals("unacked")
    assert len(records) == 2
    assert all(len(record) < 2 * EXCERPT_BYTES for record in records)
    acknowledge_all(reader)
    assert (ours.unacked(), ours.waiting()) == ((0, 0), [])


def test_one_of_the_greatest_length_is_taken_whole(ours):
    empty = raw_message(None, body="")
    body = "x" * (MAX_ITEM_BYTES - len(empty))
    ours.push(raw_message(None, body=body))
    reader = Reader(ours).read(1, seconds=30)
    assert len(reader.messages[0].body) == len(body)
    acknowledge_all(reader)


def test_a_long_message_whose_consumer_died_comes_back_as_the_very_same(ours):
    ours.push(long_item(ending="one"))
    ours.push(long_item(ending="two"))
    dead = Reader(ours, prefetch=10).read(2)
    dead.die()
    again = Reader(ours, prefetch=10).read(2)
    keys = [[message.properties["delivery_tag"] for message, _ in reader.broken] for reader in (dead, again)]
    assert keys[0] == keys[1]
    assert len(set(keys[0])) == 2  # they begin alike, and are two
    assert [reason for _, reason in dead.broken] == [reason for _, reason in again.broken]
    acknowledge_all(again)
    assert ours.unacked() == (0, 0)


def test_a_long_message_that_another_transport_had_taken_is_shortened_before_it_is_brought_back(ours):
    record = b'["' + b"x" * (MAX_ITEM_BYTES + 2000) + b'", "", "orders"]'
    ours.redis.hset("unacked", "tag", record)
    ours.redis.zadd("unacked_index", {"tag": 1})
    reader = Reader(ours).read(1)
    ((message, reason),) = reader.broken
    assert reason.startswith(f"the message is {len(record)} bytes long")
    assert message.delivery_info["routing_key"] == "orders"
    acknowledge_all(reader)
    assert ours.unacked() == (0, 0)


def test_a_claim_ends_with_the_message_that_takes_it_beyond_its_bound(ours):
    size = CLAIM_BYTES // 2
    for _ in range(10):
        ours.push(raw_message("x" * size))
    reader = Reader(ours, prefetch=100)
    claim = reader.channel._new_claim(100, ["orders"], waits=False)
    reply = ours.redis.execute_command(*reader.channel._claim_command(claim, set()))
    assert len(reply[1::2]) == 2
    reader.channel.qos.put_back(claim.tags)
    assert len(ours.waiting()) == 10
    reader.close()


def test_long_messages_given_back_are_read_a_few_at_a_time_and_none_is_lost(ours):
    for number in range(12):
        ours.push(raw_message(f"{number}" + "x" * CLAIM_BYTES))
    Reader(ours, prefetch=100).read(12).close()
    assert [body.rstrip("x") for body in ours.waiting()] == [str(number) for number in range(12)]
    assert ours.unacked() == (0, 0)


def test_a_consumer_takes_no_more_bytes_in_hand_than_it_may(ours):
    size = MAX_BYTES_IN_HAND // 8
    for _ in range(12):
        ours.push(raw_message("x" * size))
    reader = Reader(ours, prefetch=100)
    while len(reader.messages) < 8:
        reader.look()
    for _ in range(5):
        reader.look()
    assert len(reader.messages) == 8
    reader.messages.pop().ack()
    reader.read(8)
    assert len(reader.messages) == 8
    reader.close()


def test_beside_messages_with_a_task_of_their_own_fewer_are_taken_in_hand(ours):
    reader = Reader(ours, prefetch=8)
    reader.channel.room_alone = 4
    ours.publish(*range(2))
    reader.read(2)
    for message in reader.messages:
        reader.channel.count_alone(message.delivery_tag)
    ours.publish(*range(2, 8))
    for _ in range(5):
        reader.look()
    assert reader.bodies == [0, 1]
    reader.messages[0].ack()
    reader.read(6)
    for _ in range(5):
        reader.look()
    assert reader.bodies == [0, 1, 2, 3, 4, 5]
    reader.channel.count_alone(reader.messages[0].delivery_tag)  # it is not in hand any more
    reader.messages[1].reject(requeue=True)
    assert reader.read(9).bodies[6:] == [6, 7, 1]
    reader.close()


# --- what surrounds a body --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ({f"h{n}": n for n in range(MAX_ENVELOPE_VALUES)}, "values besides its body"),
        ({"long": "x" * MAX_ENVELOPE_BYTES}, "bytes besides its body"),
        ({"deep": json.loads("[" * 40 + "]" * 40)}, "nested more than"),
        ({"list": [[]] * MAX_ENVELOPE_VALUES}, "values besides its body"),
    ],
    ids=["many headers", "a long header", "a deep header", "many lists"],
)
def test_headers_that_are_too_many_too_long_or_too_deep_make_no_message(headers, reason):
    item = raw_message(1, headers=headers).encode()
    assert reason in read_item(item, "tag", "orders")["headers"]["invoices-unreadable"]


def test_a_body_full_of_quotes_and_commas_is_one_value(ours):
    body = json.dumps([[], {"orders": [{"a": ["b", "c"]}] * 5000}, {}])
    message = read_item(raw_message(None, body=body).encode(), "tag", "orders")
    assert message["body"] == body


def test_megabytes_of_lists_are_refused_before_they_are_parsed(monkeypatch):
    monkeypatch.setattr("workers.transport.message.loads", lambda _: pytest.fail("it was parsed"))
    for item in (b"[[]," + b"[]," * (4 * MIB) + b"[]]", b'{"properties": {}, "x": [' + b'"",' * (4 * MIB) + b"1]}"):
        assert "values besides its body" in read_item(item, "tag", "orders")["headers"]["invoices-unreadable"]


# --- consumers that die -----------------------------------------------------------------------------------------------


def test_each_consumer_that_died_with_a_message_is_counted(ours):
    ours.publish("order")
    for deaths in range(MAX_DEATHS):
        reader = Reader(ours).read(1)
        assert reader.messages[0].deaths == deaths
        reader.die()
    reader = Reader(ours).read(1)
    assert (reader.bodies, reader.messages[0].deaths) == (["order"], MAX_DEATHS)
    acknowledge_all(reader)


def test_a_message_that_was_given_back_keeps_its_count(ours):
    ours.publish("order")
    Reader(ours).read(1).die()
    for _ in range(MAX_DEATHS):
        reader = Reader(ours).read(1)
        reader.messages[0].requeue()
        reader.close()
        Reader(ours).read(1).close()  # stopped with the message in hand
    reader = Reader(ours).read(1)
    assert reader.messages[0].deaths == 1
    acknowledge_all(reader)


def test_what_a_sender_wrote_in_place_of_the_count_is_harmless(ours):
    for count in (-7, 10**30, "5", None, True, [5]):
        ours.push(raw_message("order", **{"invoices-deaths": count}))
    reader = Reader(ours, prefetch=10).read(6)
    assert [message.deaths for message in reader.messages] == [0, 10**6, 0, 0, 1, 0]
    acknowledge_all(reader)


def suspect(body, deaths):
    return json.dumps({"invoices-deaths": deaths, **json.loads(raw_message(body))})


def test_a_message_whose_consumers_died_twice_is_in_hand_alone(ours):
    """Should it be the one that ends them, no other message is counted any more."""
    ours.publish("before")
    ours.push(suspect("suspect", LONELY_AFTER_DEATHS))
    ours.publish("after")
    reader = Reader(ours, prefetch=10).read(1)
    for _ in range(3):
        reader.look()
    assert reader.bodies == ["before"]
    reader.messages[0].ack()
    reader.read(2)
    for _ in range(3):
        reader.look()
    assert reader.bodies == ["before", "suspect"]
    reader.messages[1].ack()
    assert reader.read(3).bodies == ["before", "suspect", "after"]
    reader.messages[2].ack()
    assert ours.unacked() == (0, 0)
    reader.close()


def test_messages_that_died_with_a_neighbour_are_told_apart_from_it(ours):
    ours.publish(*range(5))
    for _ in range(LONELY_AFTER_DEATHS):
        Reader(ours, prefetch=10).read(5).die()
    done: list[int] = []
    while len(done) < 4:
        reader = Reader(ours, prefetch=10).read(1)
        assert len(reader.messages) == 1
        if reader.bodies == [3]:
            reader.die()  # this is the one
        else:
            done += reader.bodies
            reader.messages[0].ack()
            reader.close()
    assert sorted(done) == [0, 1, 2, 4]
    reader = Reader(ours).read(1)
    assert reader.bodies == [3]
    assert reader.messages[0].deaths > LONELY_AFTER_DEATHS
    acknowledge_all(reader)


def test_a_message_that_even_reading_ends_its_consumers_is_not_read_any_more(ours):
    ours.push(suspect("deadly", MAX_DEATHS_UNREAD))
    reader = Reader(ours).read(1)
    ((_, reason),) = reader.broken
    assert reason == f"was delivered {MAX_DEATHS_UNREAD} times and never finished"
    acknowledge_all(reader)


def test_the_count_stands_at_the_beginning_where_a_claim_looks():
    assert count_deaths_of_item(suspect("x", 12).encode()) == 12
    assert count_deaths_of_item(raw_message("x").encode()) == 0
