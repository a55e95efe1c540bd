from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from workers.intake.message import CREATE, CREATE_MANY, REJECT, Accepted
from workers.queue.batches import CLAIM_SECONDS, LONGEST_SECONDS, Gathering


class Clock:
    """A timer whose time is moved on by hand."""

    def __init__(self):
        self.now = 0.0
        self.entries = []

    def call_after(self, seconds, function):
        entry = Entry(self.now + seconds, function)
        self.entries.append(entry)
        return entry

    def go_on(self, seconds=0.0):
        self.now += seconds
        due = [entry for entry in self.entries if entry.at <= self.now]
        self.entries = [entry for entry in self.entries if entry.at > self.now]
        for entry in due:
            if not entry.cancelled:
                entry.function()


class Entry:
    def __init__(self, at, function):
        self.at, self.function, self.cancelled = at, function, False

    def cancel(self):
        self.cancelled = True


class Received:
    """As much of kombu's message as a bundle needs."""

    channel = delivery_info = None

    def __init__(self, tag):
        self.delivery_tag = tag

    def ack(self):
        if self.delivery_tag == "of a closed connection":
            raise ConnectionError

    def reject(self, requeue=False):
        self.ack()


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def bundles():
    return []


@pytest.fixture
def gathering(clock, bundles):
    return Gathering(clock, bundles.append, in_hand=2, set_aside=never)


def never(parts, end):
    raise AssertionError(f"nothing failed, and {parts} was set aside")


def add(gathering, *names, task=CREATE):
    for name in names:
        gathering.add(Received(name), Accepted(task, name, []))


def names(bundle):
    """The ids of what a bundle holds, a list for each kind of call."""
    return [[call.id for call in one] for one in bundle.payload[0]]


def test_what_comes_in_at_one_moment_is_handed_over_at_once_orders_first(gathering, clock, bundles):
    add(gathering, "bad", task=REJECT)
    add(gathering, "a", "b")
    assert bundles == []
    clock.go_on()
    assert [names(bundle) for bundle in bundles] == [[["a", "b"], ["bad"]]]


def test_what_comes_in_meanwhile_waits_for_the_end_and_for_what_there_is_room_for_then(gathering, clock, bundles):
    add(gathering, "a")
    clock.go_on()
    add(gathering, "b")
    clock.go_on(LONGEST_SECONDS / 2)
    assert len(bundles) == 1
    bundles[0].ack()
    clock.go_on(CLAIM_SECONDS / 2)
    add(gathering, "c", "d")
    clock.go_on()
    assert [names(bundle) for bundle in bundles] == [[["a"]], [["b", "c", "d"]]]


def test_without_more_it_goes_a_moment_after_the_end(gathering, clock, bundles):
    add(gathering, "a")
    clock.go_on()
    add(gathering, "b")
    bundles[0].reject(requeue=True)
    clock.go_on(CLAIM_SECONDS)
    assert [names(bundle) for bundle in bundles] == [[["a"]], [["b"]]]


def test_while_little_is_under_way_nothing_waits(clock, bundles):
    gathering = Gathering(clock, bundles.append, in_hand=4, set_aside=never)
    add(gathering, "a")
    clock.go_on()
    add(gathering, "b")
    clock.go_on()
    add(gathering, "c")
    clock.go_on()
    assert [names(bundle) for bundle in bundles] == [[["a"]], [["b"]]]
    bundles[0].ack()
    clock.go_on(CLAIM_SECONDS)
    assert names(bundles[2]) == [["c"]]


def test_a_message_that_shares_no_bundle_is_counted_by_its_channel_where_that_can(gathering, bundles):
    counted: list[str] = []
    for channel in (None, SimpleNamespace(count_alone=counted.append)):
        message: Any = Received("many")
        message.channel = channel
        gathering.hand_over_alone(message, Accepted(CREATE_MANY, "many", []))
    add(gathering, "a")
    assert counted == ["many"]
    assert len(bundles) == 2


def test_nobody_waits_for_ever_for_a_bundle_that_does_not_end(gathering, clock, bundles):
    add(gathering, "stuck")
    clock.go_on()
    add(gathering, "a")
    clock.go_on(LONGEST_SECONDS)
    add(gathering, "b")
    bundles[1].ack()
    clock.go_on(CLAIM_SECONDS)
    assert [names(bundle) for bundle in bundles] == [[["stuck"]], [["a"]], [["b"]]]


def test_an_old_wait_cuts_no_later_one_short(gathering, clock, bundles):
    add(gathering, "a")
    clock.go_on()
    add(gathering, "b")
    clock.go_on(LONGEST_SECONDS / 2)
    bundles[0].ack()
    clock.go_on(CLAIM_SECONDS)
    add(gathering, "c")
    clock.go_on(LONGEST_SECONDS / 2)
    assert [names(bundle) for bundle in bundles] == [[["a"]], [["b"]]]


def test_a_bundle_has_ended_too_when_it_could_not_be_acknowledged(gathering, clock, bundles):
    add(gathering, "of a closed connection")
    clock.go_on()
    with pytest.raises(ConnectionError):
        bundles[0].ack()
    add(gathering, "a")
    clock.go_on()
    assert names(bundles[1]) == [["a"]]


def test_what_a_closed_connection_brought_is_the_brokers_again(gathering, clock, bundles):
    add(gathering, "a")
    gathering.close()
    clock.go_on()
    assert bundles == []


def test_what_celery_can_not_take_is_set_aside_alone_and_takes_up_no_room_afterwards(clock, bundles):
    aside = []

    def hand_over(bundle):
        if "bad" in str(bundle.payload):
            raise RuntimeError("a bug")
        bundles.append(bundle)

    gathering = Gathering(clock, hand_over, in_hand=2, set_aside=lambda parts, end: aside.append((parts, end)))
    add(gathering, "a", "bad", "b")
    clock.go_on()
    assert [names(bundle) for bundle in bundles] == [[["a"]], [["b"]]]
    ((((message, call),), end),) = aside
    assert (message.delivery_tag, call.id) == ("bad", "bad")
    for bundle in bundles:
        bundle.ack()
    end()
    add(gathering, "c")
    clock.go_on()  # nothing is under way: at once
    assert names(bundles[-1]) == [["c"]]


def test_a_bundle_whose_task_failed_is_set_aside_and_none_of_it_is_dropped(clock, bundles):
    aside = []
    gathering = Gathering(clock, bundles.append, in_hand=2, set_aside=lambda parts, end: aside.append((parts, end)))
    add(gathering, "a", "b")
    clock.go_on()
    bundles[0].reject()  # what Celery does after an exception
    ((parts, end),) = aside
    assert [call.id for _, call in parts] == ["a", "b"]
    add(gathering, "c")
    clock.go_on(LONGEST_SECONDS / 2)
    assert len(bundles) == 1  # still under way
    end()
    clock.go_on(CLAIM_SECONDS)
    assert names(bundles[1]) == [["c"]]


def test_a_message_that_never_comes_with_others_is_a_bundle_of_its_own_with_its_arguments_as_they_are(clock, bundles):
    gathering = Gathering(clock, bundles.append, in_hand=2, set_aside=never)
    gathering.hand_over_alone(Received("many"), Accepted(CREATE_MANY, "id", ["text", "key", None]))
    assert bundles[0].payload == [["text", "key", None], {}, {}]
    assert (bundles[0].headers["task"], bundles[0].headers["id"]) == (CREATE_MANY, "id")
