"""Messages that RabbitMQ delivers again: one at a time, counted until an end."""

from __future__ import annotations

import pytest
from redis import Redis

from workers.queue.suspects import TURN_SECONDS, RedisCounter, Suspects


class Timer:
    def __init__(self):
        self.planned = []

    def call_after(self, seconds, function):
        self.planned.append((seconds, function))

    def run(self, seconds=0.0):
        due = [entry for entry in self.planned if entry[0] <= seconds]
        self.planned = [entry for entry in self.planned if entry[0] > seconds]
        for _, function in due:
            function()


class Counter:
    def __init__(self):
        self.open = {}

    def begin(self, key):
        self.open[key] = self.open.get(key, 0) + 1
        return self.open[key] - 1

    def end(self, key):
        self.open.pop(key, None)


class Message:
    def __init__(self, error=None):
        self.done, self.error = [], error

    def ack(self):
        self.done.append("ack")
        if self.error:
            raise self.error

    def reject(self, requeue=False):
        self.done.append(("reject", requeue))


class Taker:
    def __init__(self, taken):
        self.taken = taken

    def __call__(self, _, deaths):
        self.taken.append(deaths)


@pytest.fixture
def timer():
    return Timer()


def test_they_are_handed_over_one_at_a_time(timer):
    taken = []
    suspects = Suspects(timer, Counter(), lambda message, deaths: taken.append((message, deaths)))
    first, second = Message(), Message()
    suspects.add(first, "1")
    suspects.add(second, "2")
    assert taken == [(first, 0)]
    first.ack()
    timer.run()
    assert taken == [(first, 0), (second, 0)]


def test_one_that_has_no_end_yet_holds_up_the_others_for_its_turn_only(timer):
    taken = []
    suspects = Suspects(timer, Counter(), lambda message, _: taken.append(message))
    messages = [Message() for _ in range(3)]
    for number, message in enumerate(messages):
        suspects.add(message, str(number))
    timer.run(TURN_SECONDS)
    assert taken == messages[:2]
    messages[0].ack()  # late: the second one has its turn
    timer.run()
    assert taken == messages[:2]
    messages[1].ack()
    timer.run()
    assert taken == messages


@pytest.mark.parametrize("end", [lambda m: m.ack(), lambda m: m.reject(), lambda m: m.reject(requeue=True)])
def test_an_end_of_any_kind_is_no_death(timer, end):
    counter = Counter()
    message = Message()
    Suspects(timer, counter, lambda *_: None).add(message, "1")
    end(message)
    assert counter.open == {}


def test_an_acknowledgement_that_fails_is_an_end_too(timer):
    counter = Counter()
    message = Message(OSError("gone"))
    Suspects(timer, counter, lambda *_: None).add(message, "1")
    with pytest.raises(OSError, match="gone"):
        message.ack()
    assert counter.open == {}
    assert [seconds for seconds, _ in timer.planned] == [TURN_SECONDS, 0.0]


def test_only_the_message_that_was_begun_with_is_counted_when_the_process_dies(timer):
    counter = Counter()
    for deaths in range(5):  # each time another process
        taken: list[int] = []
        suspects = Suspects(timer, counter, Taker(taken))
        suspects.add(Message(), "killer")
        suspects.add(Message(), "neighbour")
        assert taken == [deaths]
    assert counter.open == {"killer": 5}


def test_beginnings_are_counted_in_redis_until_an_end(empty_valkey_url):
    with Redis.from_url(empty_valkey_url) as client:
        counter = RedisCounter(lambda: client)
        assert [counter.begin("a") for _ in range(3)] == [0, 1, 2]
        assert client.ttl("invoices:begun:a") > 0
        counter.end("a")
        assert counter.begin("a") == 0
        counter.end("a")


def test_while_redis_is_away_messages_go_on():
    def away():
        raise OSError("no server")

    counter = RedisCounter(away)
    assert counter.begin("a") == 0
    counter.end("a")
