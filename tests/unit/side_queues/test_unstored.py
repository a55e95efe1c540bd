"""What could be neither stored nor listed is kept, alone, until it can be: a broker in memory, a store that fails."""

from __future__ import annotations

import base64
import json
import threading
import zlib
from types import SimpleNamespace

import pytest
import redis
from kombu import Queue

from tests.unit.side_queues.side_queue_cases import AWAY, BAD, DAMAGED, LIMIT, SLOW
from workers.intake import unstored
from workers.intake.message import CREATE, CREATE_MANY, REJECT, Accepted
from workers.intake.unstored import QUEUE, Unstored
from workers.transport.side_queue import SideQueue


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
