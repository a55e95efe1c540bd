"""What could be neither stored nor listed is kept, alone, until it can be: a broker in memory, a store that fails."""

from __future__ import annotations

import base64
import json
import threading
import zlib
from types import SimpleNamespace

import pytest
import redis
from celery import Celery
from celery.exceptions import Reject
from kombu import Exchange, Queue
from psycopg.errors import IndexCorrupted, ProgramLimitExceeded, QueryCanceled
from sqlalchemy.exc import DataError, InternalError, OperationalError
from structlog.testing import capture_logs

from domain.account import Account
from domain.exact_json import write_json
from tests.unit.test_intake import Checker, MemoryStore, order
from workers import bootstrap
from workers.intake import unstored
from workers.intake.message import CANCEL, CREATE, CREATE_MANY, REJECT, Accepted
from workers.intake.orders import Desk, refuse
from workers.intake.unstored import QUEUE, RAW, Unstored, unwrap, wrap
from workers.queue import tasks
from workers.queue.consumer import GuardedConsumer
from workers.store.intake import Rejection
from workers.transport.side_queue import SideQueue

BAD = DataError("INSERT", {}, Exception("character is not in the encoding"))
AWAY = OperationalError("INSERT", {}, Exception("away"))
SLOW = OperationalError("INSERT", {}, QueryCanceled("statement timeout"))
LIMIT = OperationalError("INSERT", {}, ProgramLimitExceeded("index row size exceeds its maximum"))
DAMAGED = InternalError("INSERT", {}, IndexCorrupted("unexpected zero page"))


@pytest.fixture(autouse=True)
def logs():
    """Tracebacks drawn for a terminal take longer than the tests."""
    with capture_logs() as logs:
        yield logs


@pytest.fixture
def app():
    """An app whose broker is this process's memory."""
    app = Celery("test", broker="memory://", set_as_current=False)
    app.conf.task_default_queue = "intake"
    app.conf.task_queues = [Queue("intake", Exchange("intake"), routing_key="intake")]
    yield app
    with app.connection_for_read() as connection:
        connection.default_channel.queue_purge(QUEUE)
    app.close()


@pytest.fixture
def notes():
    """As much of Redis as holds the note for the doctor."""
    kept = {}

    def put(key, value, nx=False):
        if not (nx and key in kept):
            kept[key] = value

    return SimpleNamespace(kept=kept, set=put, delete=lambda key: kept.pop(key, None))


@pytest.fixture
def queue(app, notes):
    return Unstored(app, lambda: notes)


def call(number, task=CREATE):
    return Accepted(task, f"id-{number}", [f"text {number}", f"key-{number}", None])


def failing(*ids, error=BAD):
    """Takes all but these; what it was given, in this order."""
    seen = []

    def take(call):
        seen.append(call.id)
        if call.id in ids:
            raise error

    return seen, take


def test_what_is_kept_comes_back_as_it_was(queue):
    odd = Accepted(
        CREATE_MANY, "id \U0001f9fe", ['{"orders":[{"price":0.1000000000000000055,"note":"ä\\u0000"}]}', "key", None]
    )
    queue.keep([odd], "DataError: why")
    taken: list[Accepted] = []
    assert queue.look(taken.append).taken == 1
    assert taken == [odd]


def test_one_that_fails_goes_behind_the_others_and_comes_again(queue):
    queue.keep([call(number) for number in range(3)], "why")
    seen, take = failing("id-0")
    done = queue.look(take)
    assert (seen, done.taken, done.failed, done.left) == (["id-0", "id-1", "id-2"], 2, 1, 1)
    assert (done.oldest.tries, done.oldest.why) == (2, "DataError: character is not in the encoding")
    seen, take = failing()
    assert queue.look(take).left == 0
    assert seen == ["id-0"]


def test_a_round_ends_after_some_failures_and_the_next_one_begins_behind_them(queue, monkeypatch):
    monkeypatch.setattr(unstored, "FAILURES", 2)
    queue.keep([call(number) for number in range(5)], "why")
    seen, take = failing(*(f"id-{number}" for number in range(4)))
    assert queue.look(take).left == 5
    assert queue.look(take).left == 5
    assert queue.look(take).left == 4
    assert seen == ["id-0", "id-1", "id-2", "id-3", "id-4", "id-0", "id-1"]


def test_while_the_database_is_away_nothing_is_tried_beyond_the_first_and_no_message_is_blamed(queue):
    queue.keep([call(number) for number in range(3)], "why")
    seen, take = failing("id-0", error=AWAY)
    done = queue.look(take)
    assert (seen, done.away, done.left, done.oldest.tries) == (["id-0"], True, 3, 1)


@pytest.mark.parametrize("error", [SLOW, LIMIT, DAMAGED])
def test_one_that_takes_too_long_or_meets_a_limit_each_time_does_not_hold_up_those_behind_it(queue, error):
    queue.keep([call(number) for number in range(3)], "why")
    _, take = failing("id-0", error=error)
    assert queue.look(take).taken == 2


def test_the_doctor_s_note_says_since_when_and_why_and_ends_with_the_last_message(queue, notes):
    queue.keep([call(0)], "first")
    first = json.loads(notes.kept[unstored.NOTE])
    queue.keep([call(1)], "second")
    queue.look(failing("id-0", "id-1")[1])
    later = json.loads(notes.kept[unstored.NOTE])
    assert (first["why"], later["since"]) == ("first", first["since"])
    queue.look(lambda _: None)
    assert notes.kept == {}


def test_without_redis_messages_are_kept_all_the_same(app):
    def away():
        raise redis.ConnectionError("away")

    queue = Unstored(app, away)
    queue.keep([call(0)], "why")
    assert queue.look(lambda _: None).taken == 1


def test_nonsense_that_somebody_put_into_the_queue_is_listed(queue, app):
    with app.producer_or_acquire() as producer:
        producer.publish({"hello": 1}, serializer="json", exchange="", routing_key=QUEUE, declare=[Queue(QUEUE)])
    taken: list[Accepted] = []
    queue.look(taken.append)
    assert taken[0].task == REJECT
    assert taken[0].arguments[1].startswith("body: this was found in the queue invoices.unstored: ")


def test_the_wait_grows_up_to_a_minute_and_begins_anew_after_a_success(queue, monkeypatch):
    waits, stopping = [], threading.Event()
    rounds = [*(unstored.Round(failed=1, left=1) for _ in range(8)), unstored.Round(taken=1, failed=1, left=1)]
    rounds += [unstored.Round(failed=1, left=1)]

    def wait(seconds):
        waits.append(seconds)
        if not rounds:
            stopping.set()

    monkeypatch.setattr(queue, "_try", lambda *_: rounds.pop(0))
    queue.run(lambda _: None, SimpleNamespace(is_set=stopping.is_set, wait=wait))
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60, 60, 1]


def test_what_no_worker_would_read_is_not_moved(queue, monkeypatch):
    monkeypatch.setattr(unstored, "MAX_PACKED_BYTES", 10)
    assert not queue.insist_on_keeping([call(0)], "why", lambda _: True)


@pytest.mark.parametrize("packed", [zlib.compress(b" " * (unstored.MAX_UNPACKED_BYTES + 1)), zlib.compress(b"[]")[:-1]])
def test_what_would_fill_the_memory_when_it_is_unpacked_is_listed_like_any_nonsense(app, queue, packed):
    fields = {"task": CREATE, "id": "1", "packed": base64.b64encode(packed).decode(), "since": 0, "tries": 1, "why": ""}
    with app.producer_or_acquire() as producer:
        producer.publish(fields, serializer="json", exchange="", routing_key=QUEUE, declare=[queue._queue.declared()])
    seen, take = failing()
    tasks_seen: list[str] = []

    def note(call):
        tasks_seen.append(call.task)
        take(call)

    assert queue.look(note).taken == 1
    assert (tasks_seen, len(seen)) == ([REJECT], 1)


def test_a_broker_that_refuses_is_asked_again_until_the_process_stops(queue, monkeypatch):
    waits = []

    def refuse(*_):
        raise ConnectionError("OOM")

    monkeypatch.setattr(SideQueue, "put", refuse)

    def wait(seconds):
        waits.append(seconds)
        return len(waits) == 3

    assert not queue.insist_on_keeping([call(0)], "why", wait)
    assert waits == [0.2, 0.4, 0.8]


# --- tasks: what is kept, and what is not -----------------------------------------------------------------------------


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
    return [write_json(order(order_id=name, **fields)), f"key-{name}", None, f"id-{name}"]


def kept(queue):
    """The ids of what is in the queue; it stays there."""
    seen = []

    def take(call):
        seen.append(call)
        raise BAD

    queue.look(take)
    return seen


def test_of_a_bundle_only_what_can_not_be_stored_nor_listed_is_kept(store, queue):
    refused = ["invoices.create", "body: bad", "{", False, "key-refused", "id-refused"]
    also_bad = ["invoices.create", "body: is bad", "bad", False, "key-bad", "id-also-bad"]
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


# --- the guard --------------------------------------------------------------------------------------------------------


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
        assert done.wait(10)
    assert message.acknowledged
    queue.look(tasks.try_again)
    assert [key for _, key in store.orders] == ["a"]


def test_a_raw_message_is_judged_as_if_it_came_now():
    assert wrap(Received({})).task == RAW
    assert unwrap(wrap(Received(order(price="9.90")))).task == CREATE
    assert unwrap(wrap(Received(5))).arguments[1] == "kwargs: must be an object"
