"""Orders and nonsense over a real broker into a real `celery -A workers.app worker`, from clients that aren't ours."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
import time
import uuid
import zlib
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import kombu
import pytest
import redis
from celery import Celery
from sqlalchemy import create_engine, text
from sqlalchemy.exc import OperationalError

from tests.engines import run_valkey
from workers.store.schema import upgrade

ROOT = Path(__file__).parents[2]
QUEUE = "invoices.intake"
DEADLINE_SECONDS = 40
KEY = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="


class Intake:
    """An intake worker over a Valkey and a database of its own."""

    def __init__(self, folder, urls, database_url):
        self.folder, self.database_url = folder, database_url
        self.redis_url, self.broker_url = urls
        self.redis = redis.Redis.from_url(self.redis_url)
        self.engine = create_engine(database_url)
        self.process: subprocess.Popen | None = None

    def start(self):
        environ = {name: value for name, value in os.environ.items() if not name.startswith("INVOICES_")}
        environ |= {
            "INVOICES_HOME": str(self.folder),
            "INVOICES_BROKER_URL": self.broker_url,
            "INVOICES_REDIS_URL": self.redis_url,
            "INVOICES_DATABASE_URL": self.database_url,
            "INVOICES_SECRET_KEY": KEY,
            "INVOICES_LOG_FORMAT": "json",
        }
        command = [
            sys.executable,
            "-m",
            "celery",
            "-A",
            "workers.app",
            "worker",
            "-Q",
            QUEUE,
            "-P",
            "threads",
            "-c",
            "4",
        ]
        command += ["-n", f"intake-{uuid.uuid4().hex[:8]}@%h", "--without-gossip", "--without-mingle"]
        with open(self.folder / "log", "ab") as log:
            self.process = subprocess.Popen(command, cwd=ROOT, env=environ, stdout=log, stderr=log)

    def stop(self, how=signal.SIGTERM):
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(timeout=60)
            self.process = None

    def close(self):
        self.stop(signal.SIGKILL)
        self.engine.dispose()
        self.redis.close()

    def log(self):
        return (self.folder / "log").read_text()

    def rows(self, query):
        try:
            with self.engine.connect() as connection:
                return [row._asdict() for row in connection.execute(text(query))]
        except OperationalError:
            return []

    def invoices(self):
        return {row["order_id"]: row for row in self.rows("SELECT * FROM invoice")}

    def rejected(self):
        return self.rows("SELECT * FROM rejected_message ORDER BY id")

    def waiting(self):
        """Messages in the queue's lists, and those handed out and not acknowledged."""
        queued = sum(self.redis.llen(name) for name in self.redis.keys(f"{QUEUE}*"))
        return queued, self.redis.hlen("invoices.unacked")

    def until(self, what, seconds=DEADLINE_SECONDS):
        """Poll until ``what()`` is true; the value it had at last."""
        deadline = time.monotonic() + seconds
        while not (found := what()):
            assert self.process is None or self.process.poll() is None, f"the worker ended:\n{self.log()[-3000:]}"
            assert time.monotonic() < deadline, f"waited in vain; the worker's log ends with:\n{self.log()[-3000:]}"
            time.sleep(0.05)
        return found

    # --- clients -------------------------------------------------------------------------------------------------

    def push(self, content, *, headers=None, **envelope):
        """A message as it lies in the list, written by hand."""
        body = json.dumps(content) if isinstance(content, (dict, list)) else content
        envelope = {
            "body": base64.b64encode(body if isinstance(body, bytes) else body.encode()).decode(),
            "headers": headers or {},
            "content-type": "application/json",
            "content-encoding": "utf-8",
            "properties": {
                "body_encoding": "base64",
                "correlation_id": str(uuid.uuid4()),
                "delivery_info": {"exchange": "", "priority": 0, "routing_key": QUEUE},
                "delivery_mode": 2,
                "delivery_tag": str(uuid.uuid4()),
            },
        } | envelope
        self.redis.lpush(QUEUE, json.dumps(envelope))

    def push_as_node_celery(self, kwargs, **fields):
        """node-celery 0.2 (``createMessage``, ``RedisBroker.publish``): protocol 1, times without a zone."""
        task = {"task": "invoices.create", "args": [], "kwargs": kwargs, "id": str(uuid.uuid4())} | fields
        properties = {
            "body_encoding": "base64",
            "correlation_id": task["id"],
            "delivery_info": {"exchange": QUEUE, "priority": 0, "routing_key": QUEUE},
            "delivery_mode": 2,
            "delivery_tag": str(uuid.uuid4()),
            "reply_to": str(uuid.uuid4()),
        }
        self.push(task, properties=properties)

    def push_as_gocelery(self, kwargs, tag=None):
        """gocelery (``CeleryMessage``, ``TaskMessage``): protocol 1, args null, no headers, exchange ``celery``."""
        envelope = {
            "body": base64.b64encode(
                json.dumps(
                    {
                        "id": str(uuid.uuid4()),
                        "task": "invoices.create",
                        "args": None,
                        "kwargs": kwargs,
                        "retries": 0,
                        "eta": None,
                        "expires": None,
                    }
                ).encode()
            ).decode(),
            "content-type": "application/json",
            "properties": {
                "body_encoding": "base64",
                "correlation_id": str(uuid.uuid4()),
                "reply_to": str(uuid.uuid4()),
                "delivery_info": {"priority": 0, "routing_key": "celery", "exchange": "celery"},
                "delivery_mode": 2,
                "delivery_tag": tag or str(uuid.uuid4()),
            },
            "content-encoding": "utf-8",
        }
        self.redis.lpush(QUEUE, json.dumps(envelope))

    def send_with_celery(self, task="invoices.create", kwargs=None, **options):
        """An app that knows nothing of us but the queue's name."""
        with Celery("somebody-else", broker=self.broker_url) as sender:
            return sender.send_task(task, kwargs=kwargs, queue=QUEUE, **options).id


def order(name, **fields):
    return {"account": "nebulox", "order_id": name, "price": "9.90", "currency": "EUR", "pay_currency": "BTC"} | fields


@pytest.fixture(scope="module")
def engines(tmp_path_factory):
    with run_valkey() as where:
        yield where.redis_url, where.broker_url


@pytest.fixture
def stopped_intake(engines, tmp_path):
    """Everything but the worker."""
    database_url = f"sqlite+pysqlite:///{tmp_path}/invoices.db"
    upgrade(database_url)
    intake = Intake(tmp_path, engines, database_url)
    intake.redis.flushdb()
    yield intake
    intake.close()


@pytest.fixture
def intake(stopped_intake):
    stopped_intake.start()
    return stopped_intake


HEADERS = {"lang": "py", "task": "invoices.create", "id": "id-1"}
PLAIN = {"delivery_tag": "t", "delivery_info": {"exchange": "", "routing_key": QUEUE}}
LATER = (datetime.now(UTC) + timedelta(hours=1)).isoformat()

#: (what, how it is pushed, how the listed reason begins)
NONSENSE = {
    "no id": (lambda i: i.push([[], order("x"), {}], headers={"task": "invoices.create"}), "id: is missing"),
    "no task": (lambda i: i.push([[], order("x"), {}]), "task: neither headers"),
    "unknown task": (lambda i: i.push([[], {}, {}], headers=HEADERS | {"task": "a.b"}), "task: there is no task 'a.b'"),
    "internal task": (lambda i: i.push([[], {}, {}], headers=HEADERS | {"task": "invoices.reject"}), "task: there is"),
    "no JSON": (lambda i: i.push("{", headers=HEADERS), "body: is not JSON"),
    "no JSON, no headers": (lambda i: i.push("hello"), "body: is not JSON"),
    "no UTF-8": (lambda i: i.push(b"\xff\x00", headers=HEADERS), "body: is not UTF-8"),
    "an object": (lambda i: i.push({"a": 1}, headers=HEADERS), "body: must be [args, kwargs, embed]"),
    "a number": (lambda i: i.push("17", headers=HEADERS), "body: must be [args, kwargs, embed]"),
    "two items": (lambda i: i.push([[], {}], headers=HEADERS), "body: must be [args, kwargs, embed]"),
    "kwargs a list": (lambda i: i.push([[], [], {}], headers=HEADERS), "kwargs: must be an object"),
    "positional": (lambda i: i.push([[order("x")], {}, {}], headers=HEADERS), "args: send the fields as keyword"),
    "deep": (lambda i: i.push("[" * 50_000, headers=HEADERS), "body: is nested too deeply"),
    "large": (lambda i: i.push([[], order("x", metadata={"x": "x" * 70_000}), {}], headers=HEADERS), "body: is 7"),
    "pickle": (lambda i: i.push("x", **{"content-type": "application/x-python-serialize"}), "content-type: must be"),
    "compressed": (
        lambda i: i.push(zlib.compress(b"[]"), headers=HEADERS | {"compression": "application/x-gzip"}),
        "body: compressed bodies are not taken",
    ),
    "far eta": (lambda i: i.push([[], order("x"), {}], headers=HEADERS | {"eta": LATER}), "eta: lies more than 60 s"),
    "bad expires": (lambda i: i.push([[], order("x"), {}], headers=HEADERS | {"expires": "soon"}), "expires: is not a"),
    "body a number": (lambda i: i.push("", body=17, headers=HEADERS, properties=PLAIN), "body: must be a text"),
    "body an object": (lambda i: i.push("", body={"a": [1]}, properties=PLAIN), "body: must be a text"),
    "unknown field": (lambda i: i.push([[], order("x", colour="red"), {}], headers=HEADERS), "colour: unknown field"),
    "unknown account": (lambda i: i.push([[], order("x", account="y"), {}], headers=HEADERS), "account: there is no"),
    "bad price": (lambda i: i.push([[], order("x", price=True), {}], headers=HEADERS), "price: must be a decimal"),
    "v1 no id": (lambda i: i.push({"task": "invoices.create", "args": [], "kwargs": {}}), "id: is missing"),
    "v1 kwargs": (lambda i: i.push({"task": "invoices.create", "id": "1", "kwargs": 5}), "kwargs: must be an object"),
    "an item without envelope": (lambda i: i.redis.lpush(QUEUE, "hello"), "body: the list item is no"),
    "an empty item": (lambda i: i.redis.lpush(QUEUE, ""), "body: the list item is no message"),
    "half an envelope": (lambda i: i.redis.lpush(QUEUE, '{"body": "W10="}'), "body: the list item is"),
    "a reply": (lambda i: i.push({"worker@host": {"ok": "pong"}}), "task: neither headers"),
}  # fmt: skip


def test_no_kind_of_nonsense_stops_the_queue_and_each_is_listed_with_its_reason(intake):
    for push, _ in NONSENSE.values():
        push(intake)
    intake.push([[], order("good"), {}], headers=HEADERS)

    intake.until(lambda: "good" in intake.invoices())
    intake.until(lambda: len(intake.rejected()) == len(NONSENSE))
    intake.until(lambda: intake.waiting() == (0, 0))

    found = [row["reason"] for row in intake.rejected()]
    for name, (_, reason) in NONSENSE.items():
        assert any(line.startswith(reason) for line in found), (name, reason, found)
    assert list(intake.invoices()) == ["good"]
    assert all(len(row["excerpt"]) <= 2048 for row in intake.rejected())


def test_orders_arrive_from_every_kind_of_client(intake):
    intake.send_with_celery(kwargs=order("celery"))
    intake.send_with_celery(kwargs=order("celery-priority"), priority=9)
    intake.send_with_celery(kwargs=order("celery-decimal", price=Decimal("0.1000000000000000055")))
    intake.send_with_celery(
        "invoices.create_many", {"orders": [order("many-1"), order("many-2"), order("bad", price="x")]}
    )
    intake.push_as_node_celery(order("node"))
    intake.push_as_gocelery(order("go"))
    with kombu.Connection(intake.broker_url) as connection:
        body: list = [[], order("kombu"), {}]
        connection.SimpleQueue(QUEUE).put(body, headers={"task": "invoices.create", "id": "kombu-1"}, serializer="json")
    wanted = {"celery", "celery-priority", "celery-decimal", "many-1", "many-2", "node", "go", "kombu"}

    intake.until(lambda: set(intake.invoices()) == wanted)
    intake.until(intake.rejected)
    intake.until(lambda: intake.waiting() == (0, 0))

    assert [row["reason"] for row in intake.rejected()] == ["price: is not a decimal number"]
    assert intake.invoices()["celery-decimal"]["price"] == "0.1000000000000000055"
    assert {row["status"] for row in intake.invoices().values()} == {"queued"}


def test_a_price_given_as_a_json_number_arrives_digit_for_digit(intake):
    exact = "0.1000000000000000055"
    fields = json.dumps(order("PLACE", price="PRICE")).replace('"PRICE"', exact)
    intake.push("[[], " + fields.replace("PLACE", "new") + ", {}]", headers=HEADERS)
    intake.push('{"task": "invoices.create", "id": "1", "kwargs": ' + fields.replace("PLACE", "old") + "}")
    many = '{"orders": [' + fields.replace("PLACE", "many") + "]}"
    intake.push("[[], " + many + ", {}]", headers=HEADERS | {"task": "invoices.create_many"})

    intake.until(lambda: len(intake.invoices()) == 3)

    assert {row["price"] for row in intake.invoices().values()} == {exact}


def test_a_foreign_expires_becomes_create_before_instead_of_dropping_the_order(intake):
    past, future = datetime.now(UTC) - timedelta(hours=1), datetime.now(UTC) + timedelta(hours=1)
    intake.send_with_celery(kwargs=order("past"), expires=past)
    intake.send_with_celery(kwargs=order("future"), expires=future)
    intake.push_as_node_celery(order("node"), expires=future.isoformat(timespec="milliseconds").split("+")[0])
    intake.send_with_celery(kwargs=order("near-eta"), countdown=30)

    found = intake.until(lambda: len(rows := intake.invoices()) == 4 and rows)

    assert found["past"]["create_before"].startswith(past.replace(tzinfo=None).isoformat(" ", "seconds"))
    assert found["future"]["create_before"].startswith(future.replace(tzinfo=None).isoformat(" ", "seconds"))
    assert found["node"]["create_before"].startswith(future.replace(tzinfo=None).isoformat(" ", "milliseconds"))
    assert found["near-eta"]["create_before"] is None


def test_a_repeat_is_no_second_invoice_and_a_conflict_is_listed(intake):
    for _ in range(3):
        intake.send_with_celery(kwargs=order("A-1"))
    intake.until(lambda: "A-1" in intake.invoices())
    intake.send_with_celery(kwargs=order("A-1", price="9.91"))

    (rejection,) = intake.until(intake.rejected)

    assert rejection["task"] == "invoices.create"
    assert json.loads(rejection["excerpt"])["price"] == "9.91"
    assert len(intake.rows("SELECT id FROM invoice")) == 1


def test_a_cancellation_cancels_and_one_of_nothing_is_listed(intake):
    intake.send_with_celery(kwargs=order("A-1"))
    intake.send_with_celery("invoices.cancel", {"account": "nebulox", "order_id": "A-1"})
    intake.send_with_celery("invoices.cancel", {"account": "nebulox", "order_id": "A-2"})

    intake.until(lambda: intake.invoices().get("A-1", {}).get("status") == "cancelled")
    (rejection,) = intake.until(intake.rejected)

    assert rejection["reason"] == "order_id 'A-2' of account 'nebulox': there is no such invoice"


def test_while_the_database_is_away_messages_wait_in_the_broker_and_are_then_all_stored(stopped_intake):
    intake = stopped_intake
    intake.folder.joinpath("invoices.db").rename(intake.folder / "away.db")
    intake.folder.joinpath("invoices.db").mkdir()  # nothing can be opened there
    intake.start()
    for number in range(40):
        intake.push([[], order(f"A-{number}"), {}], headers=HEADERS | {"id": str(number)})
    intake.push("nonsense")
    intake.until(lambda: "store.unavailable" in intake.log())
    intake.until(lambda: sum(intake.waiting()) == 41 and 0 < intake.waiting()[1] <= 8)

    intake.folder.joinpath("invoices.db").rmdir()
    intake.folder.joinpath("away.db").rename(intake.folder / "invoices.db")

    intake.until(lambda: len(intake.invoices()) == 40)
    intake.until(lambda: len(intake.rejected()) == 1)
    intake.until(lambda: intake.waiting() == (0, 0))


def test_a_worker_stopped_while_the_database_is_away_gives_everything_back(stopped_intake):
    intake = stopped_intake
    intake.folder.joinpath("invoices.db").rename(intake.folder / "away.db")
    intake.folder.joinpath("invoices.db").mkdir()
    intake.push_as_gocelery(order("go"))  # the first to be taken: it is what a worker has in hand
    for number in range(6):
        intake.push([[], order(f"A-{number}"), {}], headers=HEADERS | {"id": str(number)})
    intake.start()
    intake.until(lambda: "store.unavailable" in intake.log() and intake.waiting()[1] > 0)

    intake.stop()

    assert intake.waiting() == (7, 0)
    intake.folder.joinpath("invoices.db").rmdir()
    intake.folder.joinpath("away.db").rename(intake.folder / "invoices.db")
    intake.start()
    intake.until(lambda: len(intake.invoices()) == 7)


def test_a_sigkilled_worker_s_message_is_stored_once_by_the_next(stopped_intake):
    intake = stopped_intake
    intake.start()
    for number in range(200):
        intake.push([[], order(f"A-{number}"), {}], headers=HEADERS | {"id": str(number)})
    intake.until(lambda: len(intake.invoices()) > 5)

    intake.stop(signal.SIGKILL)
    # What the dead worker held comes back after the visibility time-out; here, at once.
    for tag in intake.redis.zrange("invoices.unacked_index", 0, -1):
        intake.redis.zadd("invoices.unacked_index", {tag: 1})
    intake.start()

    intake.until(lambda: intake.waiting() == (0, 0))
    assert len(intake.rows("SELECT id FROM invoice")) == len(intake.invoices())
    assert intake.rejected() == []


def test_a_wrong_setting_stops_the_worker_with_one_line():
    environ = {name: value for name, value in os.environ.items() if not name.startswith("INVOICES_")}
    done = subprocess.run(
        [sys.executable, "-m", "celery", "-A", "workers.app", "worker"],
        cwd=ROOT,
        env=environ | {"INVOICES_LOG_LEVEL": "loud"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "invoices: INVOICES_LOG_LEVEL: must be debug, info, warning or error\n"


def test_celery_s_own_commands_work(intake):
    environ = os.environ | {
        "INVOICES_BROKER_URL": intake.broker_url,
        "INVOICES_DATABASE_URL": intake.database_url,
        "INVOICES_SECRET_KEY": KEY,
    }
    command = [sys.executable, "-m", "celery", "-A", "workers.app", "inspect", "registered", "-t", "5"]

    def answer():
        done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, check=False)
        return done.returncode == 0 and done.stdout

    assert "invoices.create_many" in intake.until(answer)
