"""Tasks: which messages go to the queue of what can't be stored, and which don't."""

from __future__ import annotations

import json
import threading

import pytest
from celery.exceptions import Reject

from domain.account import Account
from domain.exact_json import write_json
from tests.unit.intake.intake_cases import Checker, MemoryStore, order
from tests.unit.side_queues.side_queue_cases import BAD, DAMAGED, LIMIT, SLOW
from workers import bootstrap
from workers.intake.desk import Desk
from workers.intake.message import CANCEL, CREATE, REJECT, Accepted
from workers.intake.rejecting import refuse
from workers.intake.unstored import RAW, unwrap, wrap
from workers.queue import tasks
from workers.queue.consumer import GuardedConsumer
from workers.store.intake import Rejection


class FailingStore(MemoryStore):
    """Takes no order and lists no message that has ``bad`` in it, unless it is mended."""

    mended = False
    lists = False  #: bad ones too

    def add_orders(self, orders, rejections=()):
        if not self.mended and any("bad" in order.order_id for order, _ in orders):
            raise BAD
        return super().add_orders(orders, rejections)

    def reject(self, rejections):
        if not (self.mended or self.lists) and any("bad" in rejection.excerpt for rejection in rejections):
            raise BAD
        super().reject(rejections)

    def judge(self, judgements):
        if not self.mended:
            raise TypeError("a bug")
        return super().judge(judgements)


@pytest.fixture
def store(queue, monkeypatch):
    store = FailingStore()
    accounts = {"shop": Account(name="shop", provider="nebulox", base_url="http://h", api_key="k")}
    monkeypatch.setattr(tasks, "_desk", lambda: Desk(store, accounts, {"nebulox": Checker()}))
    monkeypatch.setattr(bootstrap, "unstored", lambda: queue)
    return store


def message(name, **fields):
    return Accepted(CREATE, f"id-{name}", [write_json(order(order_id=name, **fields)), f"key-{name}", None])


def kept(queue):
    """The ids of what is in the queue; it stays there."""
    seen = []

    def take(call):
        seen.append(call)
        raise BAD

    queue.look(take)
    return seen


def test_of_a_bundle_only_what_can_not_be_stored_nor_listed_is_kept(store, queue):
    refused = Accepted(REJECT, "id-refused", [CREATE, "body: bad", "{", False, "key-refused"])
    also_bad = Accepted(REJECT, "id-also-bad", [CREATE, "body: is bad", "bad", False, "key-bad"])
    tasks.create([message("a"), message("bad"), message("b")], [refused, also_bad])

    assert [key for _, key in store.orders] == ["a", "b"]
    assert list(store.rejected) == ["key-refused"]
    assert [call.id for call in kept(queue)] == ["id-bad", "id-also-bad"]

    store.mended = True
    assert queue.look(tasks.try_again).taken == 2
    assert [key for _, key in store.orders] == ["a", "b", "bad"]
    assert list(store.rejected) == ["key-refused", "key-bad"]


def test_of_many_orders_only_those_are_kept(store, queue):
    orders = [order(order_id="a"), order(order_id="bad"), order(order_id="b"), order(order_id="bad-too", price="x")]
    tasks.create_many.run(write_json({"orders": orders}), "key", None)

    assert [key for _, key in store.orders] == ["a", "b"]
    assert [json.loads(call.arguments[0])["order_id"] for call in kept(queue)] == ["bad", "bad-too"]
    store.mended = True
    queue.look(tasks.try_again)
    assert [key for _, key in store.orders] == ["a", "b", "bad"]
    assert [rejection.reason for rejection in store.rejected.values()] == ["price: is not a decimal number"]


def test_a_cancellation_that_meets_a_bug_and_can_not_be_listed_is_kept(store, queue):
    tasks.create([message("a")])
    tasks.cancel.run(write_json({"account": "shop", "order_id": "a", "reason": "bad"}), "key", None)
    assert [call.task for call in kept(queue)] == [CANCEL]
    store.mended = True
    queue.look(tasks.try_again)
    assert [invoice_id for invoice_id, _ in store.cancelled] == ["inv_a"]


def test_an_order_too_long_for_the_list_is_kept_when_it_meets_a_bug(store, queue):
    store.lists = True
    tasks.create([message("bad"), message("bad-and-long", metadata={"note": "x" * 3000})])
    assert [rejection.reason for rejection in store.rejected.values()] == ["internal error: DataError"]
    assert [call.id for call in kept(queue)] == ["id-bad-and-long"]
    store.mended = True
    queue.look(tasks.try_again)
    assert [key for _, key in store.orders] == ["bad-and-long"]


def test_what_was_kept_is_not_listed_because_it_meets_its_bug_once_more(store, queue):
    tasks.create([message("bad")])
    store.lists = True
    assert queue.look(tasks.try_again).left == 1
    assert store.rejected == {}


@pytest.mark.parametrize("error", [SLOW, LIMIT, DAMAGED])
def test_an_order_that_is_always_too_much_for_the_database_makes_room_in_the_end(store, queue, monkeypatch, error):
    monkeypatch.setattr(tasks, "PATIENCE_SECONDS", 0.0)
    store.faults = [error, error]
    tasks.create([message("slow")])
    assert [call.id for call in kept(queue)] == ["id-slow"]


def test_a_worker_that_stops_while_the_broker_keeps_nothing_gives_the_message_back(store, queue, monkeypatch):
    monkeypatch.setattr(queue, "insist_on_keeping", lambda *_: False)
    with pytest.raises(Reject) as raised:
        tasks.create([message("bad")])
    assert raised.value.requeue


def test_a_failed_task_acknowledges_nothing():
    for task in (tasks.create, tasks.create_many, tasks.cancel, tasks.reject):
        assert (task.acks_late, task.acks_on_failure, task.acks_on_timeout) == (True, False, False)


def test_a_message_that_can_not_be_listed_as_it_is_is_listed_in_ascii(store):
    class Latin(MemoryStore):
        def reject(self, rejections):
            if not all((one.reason + one.excerpt + one.task).isascii() for one in rejections):
                raise BAD
            super().reject(rejections)

    latin = Latin()
    excerpt = '{"order_id":"größe \U0001f9fe"}'
    refuse(latin, [Rejection("k1", "a", "b", "c", True), Rejection("k2", "ä", "größe", excerpt, True)])
    assert list(latin.rejected) == ["k1", "k2"]
    assert json.loads(latin.rejected["k2"].excerpt) == json.loads(excerpt)
    assert latin.rejected["k2"].complete
    assert latin.rejected["k2"].reason == "gr\\u00f6\\u00dfe"


class Received:
    """As much of kombu's message as the guard needs."""

    headers = {"task": CREATE, "id": "id-1", "odd": object()}  # noqa: RUF012
    properties = {"delivery_tag": "t"}  # noqa: RUF012
    content_type, content_encoding = "application/json", "utf-8"

    def __init__(self, fields):
        self.body = json.dumps([[], fields, {}]).encode()
        self.acknowledged = False
        self.delivery_info = {"exchange": ""}

    def ack(self):
        self.acknowledged = True


def test_a_message_that_its_judge_trips_over_is_kept_as_it_came_and_judged_again_later(store, queue, monkeypatch):
    message = Received(order(order_id="a", price="9.90"))
    consumer = GuardedConsumer.__new__(GuardedConsumer)
    done = threading.Event()

    def call_soon(acknowledge):
        acknowledge()
        done.set()

    consumer.call_soon = call_soon
    consumer.connection_errors = ()
    with monkeypatch.context() as broken:
        broken.setattr("workers.queue.consumer.inspect", lambda *_, **__: 1 / 0)
        consumer._on_message(message)
        assert done.wait(60)
    assert message.acknowledged
    queue.look(tasks.try_again)
    assert [key for _, key in store.orders] == ["a"]


def test_a_raw_message_is_judged_as_if_it_came_now():
    assert wrap(Received({})).task == RAW
    assert unwrap(wrap(Received(order(price="9.90")))).task == CREATE
    assert unwrap(wrap(Received(5))).arguments[1] == "kwargs: must be an object"
