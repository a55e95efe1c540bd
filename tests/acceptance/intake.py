"""An intake of a test's own, on any broker, and the clients that write to it: none of those is ours."""

from __future__ import annotations

import base64
import json
import os
import signal
import time
import uuid
from pathlib import Path

import kombu
from celery import Celery
from sqlalchemy import create_engine, text
from sqlalchemy.exc import OperationalError

from config.celeryconfig import IN_HAND
from tests.acceptance.system import STOP_SECONDS
from tests.nursery import Forked, shared

ROOT = Path(__file__).parents[2]
QUEUE = "invoices.intake"
THREADS = 4
DEADLINE_SECONDS = 180
START_SECONDS = 180  #: of a worker on a machine that has much else to do
SECRET_KEY = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
TABLES = ("agenda", "evidence", "event", "rejected_message", "invoice")


class Intake:
    """An intake worker over a broker, and a database of its own."""

    def __init__(self, folder, broker, database_url):
        self.folder, self.broker, self.database_url = folder, broker, database_url
        self.speaks_redis = broker.speaks_redis
        self.engine = create_engine(database_url)
        self.process: Forked | None = None
        if not self.speaks_redis:  # RabbitMQ drops what is sent to a queue that is not there yet
            with kombu.Connection(broker.broker_url, **broker.connection_options) as connection:
                kombu.Queue(QUEUE, queue_arguments=broker.queue_arguments)(connection).declare()
        environment = {name: value for name, value in os.environ.items() if not name.startswith("INVOICES_")}
        self.environment = environment | {
            "INVOICES_HOME": str(self.folder),
            "INVOICES_DATABASE_URL": self.database_url,
            "INVOICES_SECRET_KEY": SECRET_KEY,
            "INVOICES_LOG_FORMAT": "json",
            "INVOICES_NICE": "0",  # beside busy tests it would wait for its turn
            **(broker.settings or {"INVOICES_BROKER_URL": broker.broker_url, "INVOICES_REDIS_URL": broker.redis_url}),
        }

    def start(self):
        """The Procfile's command, with fewer threads and a name of its own."""
        command = ["celery", "-A", "workers.app", "worker", "-Q", QUEUE, "-P", "threads"]
        command += ["-c", str(THREADS), "-n", f"intake-{uuid.uuid4().hex[:8]}@%h"]
        command += ["--without-gossip", "--without-mingle"]
        self._log_start = len(self.log()) if (self.folder / "log").exists() else 0
        self.process = shared().start(command, self.environment, self.folder / "log")

    def stop(self, how=signal.SIGTERM):
        """Wait for its end; nothing happens to one that does not run."""
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(timeout=STOP_SECONDS)
            self.process = None

    def close(self):
        """Leave nothing behind."""
        self.stop(signal.SIGKILL)
        self.engine.dispose()

    def forget(self):
        """As if nothing had ever come in."""
        with self.engine.begin() as connection:
            for table in TABLES:
                connection.execute(text(f"DELETE FROM {table}"))

    def log(self):
        """All that it has written."""
        return (self.folder / "log").read_text()

    def new_log(self):
        """What it has written since it was last started."""
        return self.log()[self._log_start :]

    def rows(self, query):
        """Rows of a query; none while the database is away."""
        try:
            with self.engine.connect() as connection:
                return [row._asdict() for row in connection.execute(text(query))]
        except OperationalError:
            return []

    def invoices(self):
        """By their orders' ids."""
        return {row["order_id"]: row for row in self.rows("SELECT * FROM invoice")}

    def rejected(self):
        """The list of messages that were rejected."""
        return self.rows("SELECT * FROM rejected_message ORDER BY id")

    def until(self, what, seconds=DEADLINE_SECONDS):
        """Poll until ``what()`` is true; the value it had at last."""
        deadline = time.monotonic() + seconds
        while not (found := what()):
            assert self.process is None or self.process.poll() is None, f"the worker ended:\n{self.log()[-3000:]}"
            assert time.monotonic() < deadline, f"waited in vain; the worker's log ends with:\n{self.log()[-3000:]}"
            time.sleep(0.05)
        return found

    # --- what is in the broker -----------------------------------------------------------------------------------

    def ready(self):
        """Messages that nobody has in hand."""
        return self.broker.waiting(QUEUE)

    def held(self):
        """Messages handed out and not acknowledged."""
        return self.broker.held()

    def until_acknowledged(self):
        """Until nothing is left, nor in anybody's hands."""
        self.until(lambda: self.ready() == 0)  # RabbitMQ takes a second to say what is held
        self.until(lambda: (self.held(), self.ready()) == (0, 0))

    def until_held(self, messages):
        """Until the worker has some of ``messages`` in hand, no more than it may, and all others wait."""
        most = 2 * THREADS * (IN_HAND if self.speaks_redis else 1)

        def is_held():
            held = self.held()
            return 0 < held <= most and self.ready() + held == messages

        self.until(is_held)

    def let_leases_end(self):
        """What a dead worker held comes back: on Redis after the visibility time-out; here, at once."""
        if self.speaks_redis:
            for tag in self.broker.redis.zrange("invoices.unacked_index", 0, -1):
                self.broker.redis.zadd("invoices.unacked_index", {tag: 1})

    # --- clients -------------------------------------------------------------------------------------------------

    def push(self, content, *, headers=None, **envelope):
        """A message written by hand: as it lies in Redis' list, or as a client that declares nothing sends it."""
        body = json.dumps(content) if isinstance(content, (dict, list)) else content
        body = body if isinstance(body, bytes) else body.encode()
        if self.speaks_redis:
            self._push_item({"headers": headers or {}, "properties": properties()}, body, envelope)
        else:
            self._publish(body, headers, envelope.get("content-type", "application/json"))

    def _push_item(self, begun, body, changes):
        parts = {"body": base64.b64encode(body).decode(), "content-type": "application/json"}
        item = begun | parts | {"content-encoding": "utf-8"} | changes
        self.broker.redis.lpush(QUEUE, json.dumps(item))

    def _publish(self, body, headers, content_type):
        with kombu.Connection(self.broker.broker_url, **self.broker.connection_options) as connection:
            options = {"content_type": content_type, "content_encoding": "utf-8", "correlation_id": str(uuid.uuid4())}
            producer = connection.Producer(serializer=None)
            producer.publish(body, exchange="", routing_key=QUEUE, headers=headers, **options)

    def push_as_node_celery(self, kwargs, **fields):
        """node-celery 0.2 (``createMessage``, ``RedisBroker.publish``): protocol 1, times without a zone."""
        task = {"task": "invoices.create", "args": [], "kwargs": kwargs, "id": str(uuid.uuid4())} | fields
        told = properties(exchange=QUEUE) | {"correlation_id": task["id"], "reply_to": str(uuid.uuid4())}
        self.push(task, properties=told)

    def push_as_gocelery(self, kwargs):
        """gocelery (``CeleryMessage``, ``TaskMessage``): protocol 1, args null, no headers, exchange ``celery``."""
        task = {"id": str(uuid.uuid4()), "task": "invoices.create", "args": None, "kwargs": kwargs}
        body = json.dumps(task | {"retries": 0, "eta": None, "expires": None}).encode()
        if self.speaks_redis:
            told = properties(exchange="celery", routing_key="celery") | {"reply_to": str(uuid.uuid4())}
            self._push_item({"properties": told}, body, {})
        else:
            self._publish(body, None, "application/json")

    def put_with_kombu(self, kwargs, **headers):
        """kombu's simple queue, which declares it."""
        with kombu.Connection(self.broker.broker_url, **self.broker.connection_options) as connection:
            queue = connection.SimpleQueue(QUEUE, queue_args=self.broker.queue_arguments)
            queue.put([[], kwargs, {}], headers={"task": "invoices.create"} | headers, serializer="json")

    def send_with_celery(self, task="invoices.create", kwargs=None, **options):
        """An app that knows nothing of us but the queue's name, and how to reach the broker."""
        with Celery("somebody-else", broker=self.broker.broker_url) as sender:
            sender.conf.broker_transport_options = dict(self.broker.connection_options.get("transport_options", {}))
            if not self.speaks_redis:
                sender.conf.task_create_missing_queue_type = "quorum"
            return sender.send_task(task, kwargs=kwargs, queue=QUEUE, **options).id


def properties(exchange="", routing_key=QUEUE):
    """What kombu notes of a message beside its headers."""
    return {
        "body_encoding": "base64",
        "correlation_id": str(uuid.uuid4()),
        "delivery_info": {"exchange": exchange, "priority": 0, "routing_key": routing_key},
        "delivery_mode": 2,
        "delivery_tag": str(uuid.uuid4()),
    }


def order(name, **fields):
    """An order as a shop sends it."""
    return {"account": "nebulox", "order_id": name, "price": "9.90", "currency": "EUR", "pay_currency": "BTC"} | fields
