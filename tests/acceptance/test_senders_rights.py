"""What a sender can do to a worker, and to the broker with the rights that the README gives it."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
from base64 import b64encode

import pytest
import redis
from celery import Celery
from kombu.exceptions import OperationalError

from tests.acceptance.intake import QUEUE, ROOT, START_SECONDS, Intake, order
from tests.brokers import find_redis_or_valkey, skipping
from tests.migrated import new_sqlite_url
from tests.redis_brokers import ESCAPED, NO_RETRY, PASSWORD, RedisServer
from workers.transport.remote_control import REFUSED

SENDERS = ROOT / "deploy/senders"
SHOP_PASSWORD = "shop-pass-word"
HELLO = {"from_node": "x", "revoked": {"order-1": 1}}


@pytest.fixture
def server(tmp_path_factory):
    """With a user for workers; senders have none yet."""
    folder = tmp_path_factory.mktemp("server")

    @contextlib.contextmanager
    def start():
        with contextlib.closing(RedisServer(find_redis_or_valkey(), folder)) as server:
            yield server

    with skipping(start()) as server:
        server.redis.execute_command("ACL", "SETUSER", "worker", "on", f">{PASSWORD}", "~*", "&*", "+@all")
        server.plain_url = server.broker_url
        server.broker_url = server.broker_url.replace("redis://", f"redis://worker:{ESCAPED}@")
        server.settings = {"INVOICES_BROKER_URL": server.broker_url}
        yield server


@pytest.fixture
def intake(server, tmp_path):
    with contextlib.closing(Intake(tmp_path, server, new_sqlite_url(tmp_path))) as intake:
        intake.start()
        intake.until(lambda: " ready." in intake.new_log(), START_SECONDS)
        yield intake


def test_commands_that_change_a_worker_are_refused_and_what_is_read_holds_no_password(intake):
    with Celery("somebody-else", broker=intake.broker.broker_url) as app:
        control = app.control
        assert control.ping(timeout=60, limit=1)
        read = control.inspect(timeout=60, limit=1)
        replies = [read.stats(), read.conf(), read.report(), read.active(), read.registered(), read.active_queues()]
        assert all(replies)
        told = json.dumps(replies)
        assert PASSWORD not in told
        assert ESCAPED not in told
        for change in (
            lambda: control.cancel_consumer(QUEUE, reply=True, timeout=60, limit=1),
            lambda: control.add_consumer("other", reply=True, timeout=60, limit=1),
            lambda: control.broadcast("shutdown", reply=True, timeout=60, limit=1),
            lambda: control.pool_shrink(4, reply=True, timeout=60, limit=1),
            lambda: control.rate_limit("invoices.create", "1/h", reply=True, timeout=60, limit=1),
            lambda: control.revoke("order-1", terminate=True, reply=True, timeout=60, limit=1),
            lambda: control.broadcast("hello", HELLO, reply=True, timeout=60, limit=1),
        ):
            (reply,) = change()
            (answer,) = reply.values()
            assert answer == {"error": REFUSED} or answer["revoked"] == []
    intake.push([[], order("order-1"), {}], headers={"task": "invoices.create", "id": "order-1"})
    intake.until(lambda: "order-1" in intake.invoices())
    assert intake.process.poll() is None


@pytest.fixture
def shop(server):
    """A client with the rights that the README shows."""
    (line,) = re.findall(r"^ACL SETUSER shop .*$", (ROOT / "README.md").read_text(), re.MULTILINE)
    server.redis.execute_command(*line.replace("PASSWORD", SHOP_PASSWORD).split())
    url = server.plain_url.replace("redis://", f"redis://shop:{SHOP_PASSWORD}@")
    server.shop_url = url
    with redis.Redis.from_url(url, retry=NO_RETRY) as client:
        yield client


def test_a_sender_with_the_readme_s_rights_sends_orders_from_python_and_by_hand(server, shop, intake):
    environ = os.environ | {"BROKER": server.shop_url}
    subprocess.run([sys.executable, SENDERS / "send_order.py"], cwd=intake.folder, env=environ, check=True, timeout=180)
    with Celery("urgent", broker=server.shop_url) as app:
        app.send_task("invoices.create", kwargs=order("urgent"), queue=QUEUE, priority=9, ignore_result=True)
    message = {  # what deploy/senders/send-order.mjs pushes
        "headers": {"task": "invoices.create", "id": "1"},
        "content-type": "application/json",
        "content-encoding": "utf-8",
        "body": b64encode(json.dumps([[], order("by-hand"), {}]).encode()).decode(),
        "properties": {
            "body_encoding": "base64",
            "delivery_tag": "1",
            "delivery_info": {"exchange": "", "routing_key": QUEUE},
        },
    }
    shop.lpush(QUEUE, json.dumps(message))
    intake.until(lambda: set(intake.invoices()) == {"from-python-1", "urgent", "by-hand"})


FORBIDDEN = [
    ("LRANGE", QUEUE, "0", "-1"),
    ("LINDEX", QUEUE, "0"),
    ("RPOP", QUEUE),
    ("BRPOP", QUEUE, "1"),
    ("LTRIM", QUEUE, "1", "0"),
    ("DEL", QUEUE),
    ("RENAME", QUEUE, "x"),
    ("LPUSH", "invoices.work", "x"),
    ("LPUSH", f"{QUEUE}.other", "x"),
    ("HGETALL", "invoices.unacked"),
    ("SADD", "_kombu.binding.celery.pidbox", "x"),
    ("SREM", f"_kombu.binding.{QUEUE}", "x"),
    ("PUBLISH", "/1.celery.pidbox", "{}"),
    ("PSUBSCRIBE", "*"),
    ("XRANGE", "invoices:events", "-", "+"),
    ("XADD", "invoices:events", "*", "a", "b"),
    ("EVAL", "return 1", "0"),
    ("KEYS", "*"),
    ("SCAN", "0"),
    ("FLUSHALL",),
    ("CONFIG", "GET", "*"),
    ("CLIENT", "KILL", "TYPE", "normal"),
    ("ACL", "WHOAMI"),
]


def test_it_can_neither_read_nor_delete_nor_reach_anything_else(server, shop):
    shop.lpush(QUEUE, "x")
    for command in FORBIDDEN:
        with pytest.raises(redis.exceptions.NoPermissionError):
            shop.execute_command(*command)
    assert server.redis.lrange(QUEUE, 0, -1) == [b"x"]


def test_it_can_not_reach_celery_s_remote_control(server, shop):
    with Celery("shop", broker=server.shop_url) as app, pytest.raises(OperationalError, match="no permissions"):
        app.control.broadcast("shutdown", reply=False)
