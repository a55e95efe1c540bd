"""Messages of one account that pile up: those of others wait for a bounded number of them, and none is lost."""

from __future__ import annotations

import base64
import json
import re
from collections import Counter
from pathlib import Path

import pytest

from tests.contracts.broker_client import Broker, Reader, connect_redis, raw_message
from workers.transport.turns import GIVEN, MAX_LANES, PILE, SORTED, TURNS, WHILE_UNSORTED

BROKERS = Path(__file__).resolve().parents[2] / "deploy/BROKERS.md"
DATABASE = 12
IN_HAND = 20
#: Of others' messages, before the only one of an account: what was in hand, a few for each claim that sorts, and for
#: each turn of its own one of theirs.
AT_MOST = IN_HAND + 2 * IN_HAND


@pytest.fixture
def broker(valkey_broker_url):
    client, url = connect_redis(valkey_broker_url, DATABASE)
    client.flushdb()
    yield Broker(url, client, "ours", isolates=True, in_turns="orders")
    client.flushdb()
    client.close()


def item(account, number=0, **fields):
    body = json.dumps([[], {"number": number, **fields, "account": account}, {}])
    properties = {"body_encoding": "base64", "delivery_info": {"exchange": "", "routing_key": "orders"}}
    return raw_message(None, body=base64.b64encode(body.encode()).decode(), properties=properties)


def push(broker, items):
    with broker.redis.pipeline() as pipe:
        for one in items:
            pipe.lpush("orders", one)
        pipe.execute()


def read(broker, count, consumer=None):
    """So many messages, acknowledged as they come, as (account, number)."""
    consumer = consumer or Reader(broker, prefetch=IN_HAND)
    read: list[tuple[str, int]] = []
    while len(read) < count:
        consumer.read(len(read) + 1)
        for message in consumer.messages[len(read) :]:
            _, fields, _ = json.loads(message.body)
            read.append((fields["account"], fields["number"]))
            message.ack()
    consumer.look()  # finding nothing, it forgets the lanes
    consumer.close()
    return read


def left(broker):
    """What is anywhere in the broker of queue and lanes."""
    return [key for key in broker.redis.keys("*") if not key.startswith(b"_kombu")]


def test_an_order_that_comes_after_many_of_another_account_waits_for_few_of_them(broker):
    push(broker, [item("big", n) for n in range(5 * SORTED)])
    push(broker, [item("small")])
    order = read(broker, 5 * SORTED + 1)
    assert order.index(("small", 0)) <= 5 * WHILE_UNSORTED + AT_MOST
    assert [number for account, number in order if account == "big"] == list(range(5 * SORTED))
    assert left(broker) == []


def test_fifty_thousand_of_one_account_hold_up_another_s_only_one_by_a_few_hundred(broker):
    push(broker, [item("big", n) for n in range(50_000)])
    push(broker, [item("small")])
    consumer, read = Reader(broker, prefetch=IN_HAND), 0
    while not any(b"small" in bytes(message.body) for message in consumer.messages[read:]):
        for message in consumer.messages[read:]:
            message.ack()
        read = len(consumer.messages)
        consumer.read(read + 1)
    assert len(consumer.messages) <= 50 * WHILE_UNSORTED + AT_MOST
    consumer.close()
    assert sum(broker.redis.llen(key) for key in broker.redis.keys("orders*")) > 49_000


def test_one_that_comes_while_others_are_sorted_is_next_and_turns_are_by_bytes(broker):
    large = {"orders": ["x" * 1000] * 20}
    push(broker, [item("large", n, **large) for n in range(PILE)] + [item("middle", n) for n in range(PILE)])
    consumer = Reader(broker, prefetch=1).read(1)
    push(broker, [item("late", n) for n in range(10)])
    order = read(broker, 2 * PILE + 10, consumer)
    before = Counter(account for account, _ in order[: order.index(("late", 9))])
    assert before["large"] <= 3  # one of them weighs as much as a hundred others
    assert order.index(("late", 0)) <= 3
    assert left(broker) == []


def test_a_few_messages_of_many_orders_each_hold_up_no_single_one(broker):
    push(broker, [item("large", n, orders=["x" * 100] * 500) for n in range(30)])
    push(broker, [item("small")])
    assert read(broker, 31, Reader(broker, prefetch=1)).index(("small", 0)) <= 2


def test_a_short_queue_is_read_as_it_came(broker):
    push(broker, [item(account, n) for n in range(PILE // 2) for account in ("a", "b")])
    assert read(broker, PILE) == [(account, n) for n in range(PILE // 2) for account in ("a", "b")]


def test_what_a_dead_consumer_had_comes_back_before_all_turns(broker):
    push(broker, [item("big", n) for n in range(3 * PILE)])
    dead = Reader(broker, prefetch=5).read(5)
    dead.die()
    consumer = Reader(broker, prefetch=1).read(1)
    for n in range(1, 3 * PILE):  # as time goes by, leases run out
        consumer.messages[-1].ack()
        consumer.read(n + 1)
    numbers = [json.loads(message.body)[1]["number"] for message in consumer.messages]
    consumer.messages[-1].ack()
    consumer.look()
    consumer.close()
    assert sorted(numbers) == list(range(3 * PILE))
    assert [one for one in numbers if one < 5] == [0, 1, 2, 3, 4]
    assert left(broker) == []


def test_what_was_put_back_by_a_consumer_that_ends_is_first_again_in_its_order(broker):
    push(broker, [item("big", n) for n in range(2 * PILE)])
    push(broker, [item("small", n) for n in range(3)])
    Reader(broker, prefetch=7).read(7).close()
    order = read(broker, 2 * PILE + 3)
    assert Counter(order).most_common(1)[0][1] == 1
    assert [n for account, n in order if account == "big"] == list(range(2 * PILE))
    assert [n for account, n in order if account == "small"] == [0, 1, 2]


def test_there_is_no_end_of_accounts_but_of_lanes(broker):
    push(broker, [item(f"account-{n}") for n in range(MAX_LANES + PILE)])
    consumer = Reader(broker, prefetch=1).read(1)
    for message in consumer.messages:
        message.ack()
    seen = 1
    while broker.redis.llen("orders"):
        consumer.read(seen := seen + 1)
        consumer.messages[-1].ack()
    assert broker.redis.zcard(f"{GIVEN}orders") <= MAX_LANES + 1
    consumer.close()
    read(broker, MAX_LANES + PILE - seen)
    assert left(broker) == []


def test_they_are_put_back_into_the_queue_by_the_script_in_the_document(broker):
    (script,) = re.findall(r"```lua\n(.*?)```", BROKERS.read_text(), re.DOTALL)
    push(broker, [item(account, n) for n in range(PILE) for account in ("a", "b")])
    read(broker, 1, Reader(broker, prefetch=1))
    broker.redis.eval(script, 2, f"{GIVEN}orders", "orders")
    plain = Broker(broker.plain_url, broker.redis, "ours")
    order = read(broker, 2 * PILE - 1, Reader(plain, prefetch=1))
    for name, first in (("a", 1), ("b", 0)):
        assert [n for account, n in order if account == name] == list(range(first, PILE))
    assert left(broker) == []


# --- whose a message is -----------------------------------------------------------------------------------------------


def account_of(broker, text):
    return broker.redis.eval(f"{TURNS} return account(ARGV[1])", 0, text).decode()


@pytest.mark.parametrize("before", ["", "x", "xx", "ä€", "y" * 100])
@pytest.mark.parametrize("name", ["s", "nebulox", "Läden-2.5_x", "a" * 60])
def test_the_account_is_found_wherever_it_lies(broker, before, name):
    for separators in ((", ", ": "), (",", ":")):
        fields = {"z": before, "account": name, "order_id": "1"}
        body = json.dumps([[], fields, {}], ensure_ascii=False, separators=separators)
        item = raw_message(None, body=base64.b64encode(body.encode()).decode())
        assert account_of(broker, item) == name
        assert account_of(broker, item.replace('"body": ', '"body":')) == name


def test_one_that_was_found_before_is_not_taken_for_another(broker):
    names = ["s", "sh", "shop", "shop1", "shop10", "Läden", "a" * 60, "a" * 61]
    fields = [{"z": "x" * n, "account": name, "order_id": str(n)} for n in range(4) for name in [*names, *names[::-1]]]
    bodies = [json.dumps([[], one, {}], ensure_ascii=False).encode() for one in fields]
    items = [raw_message(None, body=base64.b64encode(body).decode()) for body in bodies]
    each = "local found = {} for n = 1, #ARGV do found[n] = account(ARGV[n]) end return found"
    found = broker.redis.eval(f"{TURNS} {each}", 0, *items)
    assert [name.decode() for name in found] == [one["account"] for one in fields]


def test_messages_of_accounts_in_turn_keep_their_order_and_their_bytes_decide(broker):
    push(broker, [item(("a", "b", "b")[n % 3], n) for n in range(6 * PILE)])
    order = read(broker, 6 * PILE)
    for name in ("a", "b"):
        numbers = [number for account, number in order if account == name]
        assert numbers == sorted(numbers)
    assert [account for account, _ in order[:PILE]].count("a") in range(PILE // 2 - IN_HAND, PILE // 2 + IN_HAND)
    assert left(broker) == []


def test_it_is_found_in_bodies_without_base64_and_those_of_many_orders(broker):
    assert account_of(broker, raw_message([[], {"account": "shop"}, {}])) == "shop"
    many = json.dumps([[], {"orders": [{"price": "1", "account": "shop"}, {"account": "other"}]}, {}])
    assert account_of(broker, raw_message(None, body=base64.b64encode(many.encode()).decode())) == "shop"


@pytest.mark.parametrize("item", ["", "no JSON", "{}", '{"body": 7}', '{"body": ""}', '{"body": "YWNjb3VudCI6"}'])
def test_where_there_is_none_it_has_none(broker, item):
    assert account_of(broker, item) == ""
    assert account_of(broker, raw_message([[], {"order_id": "1"}, {}])) == ""
