"""Whether the intake's queue is read: what waits in any of its lists, and whether its oldest message is taken."""

from __future__ import annotations

import json
import threading
import time
import uuid

import pytest
import redis

from config.celeryconfig import INTAKE_QUEUE, WORK_QUEUE
from tests.contracts.doctor_cases import settings
from workers.cli.doctor import broker as looked_at
from workers.cli.doctor import shelf
from workers.cli.doctor.broker import Watched, watch_queue
from workers.cli.doctor.workers import _tell_idle, _tell_missing, _tell_queue, check_workers
from workers.transport.turns import GIVEN
from workers.web.shelf import QUEUE as CALLBACKS

SEPARATOR = "\x06\x16"  #: kombu's, between a queue and a priority
READS_BOTH = {"intake@a": [INTAKE_QUEUE], "worker@a": [WORK_QUEUE]}


@pytest.fixture
def client(empty_valkey_url):
    """Of an emptied server."""
    with redis.Redis.from_url(empty_valkey_url) as client:
        yield client


@pytest.fixture
def config(tmp_path, client, valkey_broker_url):
    """Settings of that server."""
    return settings(tmp_path, broker_url=valkey_broker_url)


def message(size=10):
    """As kombu writes it."""
    properties = {"delivery_tag": str(uuid.uuid4()), "delivery_info": {"exchange": "", "routing_key": INTAKE_QUEUE}}
    return json.dumps({"body": "x" * size, "headers": {"task": "invoices.create"}, "properties": properties})


def test_an_empty_queue_and_one_that_was_never_made_have_nothing_unread(config):
    assert watch_queue(config, INTAKE_QUEUE) == Watched(0, None, 0, None)


@pytest.mark.parametrize("priority", ["", f"{SEPARATOR}3", f"{SEPARATOR}9"], ids=["none", "3", "9"])
def test_messages_that_nobody_takes_are_unread_whatever_their_priority(config, client, priority, monkeypatch):
    monkeypatch.setattr(looked_at, "WATCH_SECONDS", 0.5)
    client.lpush(INTAKE_QUEUE + priority, message(), message(1_000_000))
    assert watch_queue(config, INTAKE_QUEUE) == Watched(2, None, 0, is_taken=False)


def test_messages_that_wait_for_their_account_s_turn_are_unread_too(config, client, monkeypatch):
    monkeypatch.setattr(looked_at, "WATCH_SECONDS", 0.5)
    lane = f"{INTAKE_QUEUE}.of.shop"
    client.zadd(f"{GIVEN}{INTAKE_QUEUE}", {lane: 0})
    client.lpush(lane, message(), message())
    assert watch_queue(config, INTAKE_QUEUE) == Watched(2, None, 0, is_taken=False)
    client.lpush(INTAKE_QUEUE, message())
    assert watch_queue(config, INTAKE_QUEUE) == Watched(3, None, 0, is_taken=False)


def test_a_queue_that_is_read_is_taken_also_when_it_gets_longer(config, client, monkeypatch):
    monkeypatch.setattr(looked_at, "WATCH_SECONDS", 60)
    client.lpush(INTAKE_QUEUE, *(message() for _ in range(5)))
    ended = threading.Event()

    def read_and_send():
        while not ended.wait(0.02):
            client.lpush(INTAKE_QUEUE, message(), message())
            client.rpop(INTAKE_QUEUE)

    reader = threading.Thread(target=read_and_send)
    reader.start()
    watched = watch_queue(config, INTAKE_QUEUE)
    ended.set()
    reader.join()
    assert watched.is_taken is True


def test_messages_in_the_hands_of_processes_that_do_not_answer_are_wrong(config, client):
    client.hset("invoices.unacked", mapping={"1": "a", "2": "b"})
    found = list(check_workers(config))
    assert [(finding.check, finding.state, finding.count) for finding in found] == [
        ("queue", "wrong", 2),
        ("workers", "note", None),
    ]


def test_without_processes_and_without_work_there_is_only_a_note(config):
    (found,) = check_workers(config)
    assert (found.state, found.cause, found.command) == ("note", "no_worker", "invoices up")


def test_processes_that_may_not_be_asked_are_a_note_and_the_queue_is_looked_at(
    tmp_path, client, valkey_broker_url, monkeypatch
):
    monkeypatch.setattr(looked_at, "WATCH_SECONDS", 0.5)
    config = settings(tmp_path, broker_url=valkey_broker_url, remote_control="off")
    client.hset("invoices.unacked", "1", "a")
    assert [(finding.cause, finding.state) for finding in check_workers(config)] == [("not_asked", "note")]
    client.lpush(INTAKE_QUEUE, message())
    assert [finding.cause for finding in check_workers(config)] == ["not_asked", "unread"]


def test_an_unread_queue_is_wrong_with_its_number(config, client, monkeypatch):
    monkeypatch.setattr(looked_at, "WATCH_SECONDS", 0.5)
    client.lpush(INTAKE_QUEUE, message(), message(), message())
    found = {finding.check: finding for finding in check_workers(config)}
    assert (found["queue"].state, found["queue"].cause, found["queue"].count) == ("wrong", "unread", 3)


def test_a_process_that_was_told_to_read_nothing_is_wrong_while_nothing_waits_too():
    (found,) = _tell_idle({"intake@a": [], "worker@a": [WORK_QUEUE]})
    assert (found.state, found.cause, found.count) == ("wrong", "reads_nothing", 1)
    assert "intake@a" in found.detail
    assert list(_tell_idle(READS_BOTH)) == []


def test_readers_that_take_nothing_are_named():
    (found,) = _tell_queue(Watched(4, None, 0, is_taken=False), READS_BOTH)
    assert (found.state, found.count) == ("wrong", 4)
    assert "intake@a" in found.detail
    assert list(_tell_queue(Watched(4, None, 0, is_taken=True), READS_BOTH)) == []
    (note,) = _tell_queue(Watched(4, 1, 0, is_taken=None), READS_BOTH)
    assert note.state == "note"


def test_a_missing_kind_of_process_is_a_note():
    assert list(_tell_missing(READS_BOTH)) == []
    (note,) = _tell_missing({"worker@a": [WORK_QUEUE]})
    assert (note.state, note.cause) == ("note", "no_intake")
    (note,) = _tell_missing({"intake@a": [INTAKE_QUEUE]})
    assert (note.state, note.cause) == ("note", "no_worker")


def test_callbacks_that_nobody_takes_from_the_shelf_are_told(config, client, monkeypatch):
    monkeypatch.setattr(shelf, "PATIENCE_SECONDS", 0.1)
    assert list(shelf.check_shelf(config)) == []
    client.lpush(CALLBACKS, message(), message())

    (found,) = shelf.check_shelf(config)
    assert (found.state, found.cause, found.count) == ("wrong", "callbacks_waiting", 2)


def test_callbacks_that_are_being_taken_are_not_told(config, client, monkeypatch):
    monkeypatch.setattr(shelf, "PATIENCE_SECONDS", 60)
    client.lpush(CALLBACKS, *(message() for _ in range(3)))
    monkeypatch.setattr(time, "sleep", lambda _: client.rpop(CALLBACKS))

    assert list(shelf.check_shelf(config)) == []
