"""Messages as nobody should send them, on our Redis transport: none stops a worker, none is lost or changed."""

from __future__ import annotations

import json

import pytest

from tests.contracts.broker_client import Broker, Reader, connect_redis, raw_message

DATABASE = 12


@pytest.fixture
def ours(valkey_broker_url):
    client, url = connect_redis(valkey_broker_url, DATABASE)
    client.flushdb()
    yield Broker(url, client, "ours")
    client.flushdb()
    client.close()


@pytest.fixture
def open_reader():
    readers = []

    def open_one(broker):
        readers.append(Reader(broker))
        return readers[-1]

    yield open_one
    for reader in readers:
        reader.close()


@pytest.mark.parametrize(
    "item",
    ["no JSON", "", b"\xff\xfe\x00", "[", "1, 2", "42", "null", "[]", '{"body": "x"}', '{"properties": 1}', "[" * 5000],
)
def test_an_item_that_is_no_message_becomes_one_and_stops_nobody(ours, open_reader, item):
    ours.push(item)
    ours.publish("good")
    Reader(ours).read(2).die()  # once through the records of a dead consumer ...
    reader = open_reader(ours).read(2)  # ... and once more out of the list
    assert reader.bodies == ["good"]
    ((message, reason),) = reader.broken
    assert "no message" in reason
    assert message.body == (item.encode() if isinstance(item, str) else item) or item in {"42", "null", "[]"}
    message.ack()
    reader.messages[0].ack()
    assert ours.unacked() == (0, 0)


@pytest.mark.parametrize(
    "changes",
    [{"body": 7}, {"body": "!", "properties": {"body_encoding": "base64"}}, {"headers": []}, {"headers": "text"}]
    + [{"properties": {"body_encoding": kind}} for kind in (7, "rot13")],
)
def test_a_message_with_unusable_parts_is_handed_over_as_unreadable_or_as_it_is(ours, open_reader, changes):
    ours.push(raw_message(1, **changes))
    ours.push(raw_message(2))
    reader = open_reader(ours).read(2)
    assert json.loads(reader.messages[-1].body) == 2
    for message in [*reader.messages, *(message for message, _ in reader.broken)]:
        assert message.delivery_info["routing_key"] == "orders"
        message.ack()
    assert ours.unacked() == (0, 0)


@pytest.mark.parametrize("priority", ["Infinity", "1e999", '{"__type__": "decimal", "__value__": "1e99999999"}', "[]"])
def test_an_odd_priority_does_not_keep_a_dead_consumers_messages_from_coming_back(ours, open_reader, priority):
    odd = json.loads(raw_message("odd"))
    odd["properties"]["priority"] = "ODD"
    ours.push(json.dumps(odd).replace('"ODD"', priority))
    ours.publish("plain")
    open_reader(ours).read(2).die()
    assert sorted(open_reader(ours).read(2).bodies) == ["odd", "plain"]


def test_senders_may_leave_out_the_delivery_tag_or_use_it_twice(ours, open_reader):
    ours.push(raw_message(1, properties={}))
    for body in (2, 3):
        ours.push(raw_message(body, properties={"delivery_tag": "same", "delivery_info": {}}))
    Reader(ours).read(3).die()
    reader = open_reader(ours).read(3)
    found = zip(reader.bodies, (message.properties["delivery_tag"] for message in reader.messages), strict=True)
    assert sorted(found) == [(1, None), (2, "same"), (3, "same")]  # what comes back at once has no order
    for message in reader.messages:
        message.ack()
    assert ours.unacked() == (0, 0)


def test_a_message_keeps_every_byte(ours, open_reader):
    body = '{"amount": 1.10, "empty": [], "nothing": {}, "big": 123456789012345678901234567890}'
    ours.push(raw_message(None, body=body))
    Reader(ours).read(1).die()
    assert open_reader(ours).read(1).messages[0].body == body.encode()
