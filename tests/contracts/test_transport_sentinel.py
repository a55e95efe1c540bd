"""Our Redis transport behind Sentinel, with the primary killed while messages are being read."""

from __future__ import annotations

import contextlib
import json
import subprocess
import time

import pytest
import redis
from kombu import Connection, Consumer, Queue
from kombu.transport import TRANSPORT_ALIASES, _transport_cache

import workers.transport
from tests.servers import START_SECONDS, free_port
from workers.embedded.errors import EmbeddedError
from workers.embedded.valkey import find_server
from workers.transport.transport import SentinelTransport

pytestmark = [pytest.mark.engines, pytest.mark.timeout(900)]

MASTER = "invoices"
OPTIONS = {
    "master_name": MASTER,
    "visibility_timeout": 2,
    "unacked_restore_interval": 0.5,
    "unacked_restore_throttle": 1,
    "socket_timeout": 5,
    "socket_connect_timeout": 1,
}


@pytest.fixture
def installed():
    """The transport in the place of kombu's, as in a worker process."""
    before = dict(TRANSPORT_ALIASES)
    workers.transport.install()
    yield
    TRANSPORT_ALIASES.clear()
    TRANSPORT_ALIASES.update(before)
    _transport_cache.clear()


@pytest.fixture
def sentinels(tmp_path):
    """(sentinel's port, the primary's process): a primary, a replica and one sentinel."""
    try:
        server = str(find_server())
    except EmbeddedError as error:
        pytest.skip(str(error))
    primary, replica, sentinel = (free_port() for _ in range(3))
    config = tmp_path / "sentinel.conf"
    config.write_text(
        f"port {sentinel}\ndir {tmp_path}\nsentinel monitor {MASTER} 127.0.0.1 {primary} 1\n"
        f"sentinel down-after-milliseconds {MASTER} 5000\nsentinel failover-timeout {MASTER} 4000\n"
    )
    with contextlib.ExitStack() as processes:
        common = ["--bind", "127.0.0.1", "--save", "", "--dir", str(tmp_path), "--repl-diskless-sync-delay", "0"]
        first = processes.enter_context(started([server, "--port", str(primary), *common], primary))
        follow = ["--replicaof", f"127.0.0.1 {primary}"]
        processes.enter_context(started([server, "--port", str(replica), *common, *follow], replica))
        with redis.Redis(port=replica) as client:
            wait_until(lambda: client.info("replication")["master_link_status"] == "up")
        processes.enter_context(started([server, str(config), "--sentinel"], sentinel))
        with redis.Redis(port=sentinel) as client:
            wait_until(lambda: client.sentinel_master(MASTER)["num-slaves"] == 1)
        yield sentinel, first


def test_all_messages_come_though_the_primary_dies_on_the_way(sentinels, installed):
    port, primary = sentinels
    url = f"sentinel://127.0.0.1:{port}"
    with Connection(url, transport_options=OPTIONS) as connection:
        producer = connection.Producer(serializer="json")
        for number in range(60):
            producer.publish(number, routing_key="orders", declare=[Queue("orders", routing_key="orders")])
    assert connection.transport_cls == "sentinel"
    assert connection.get_transport_cls() is SentinelTransport
    seen: list[int] = []

    def take(message):
        seen.append(json.loads(message.body))
        message.ack()
        if len(seen) == 20:
            primary.kill()

    end = time.monotonic() + START_SECONDS
    while len(set(seen)) < 60:
        assert time.monotonic() < end, f"{len(set(seen))} of 60 came"
        connection = Connection(url, transport_options=OPTIONS)
        with contextlib.suppress(TimeoutError), contextlib.closing(connection):
            try:
                Consumer(connection.channel(), [Queue("orders", routing_key="orders")], on_message=take).consume()
                while len(set(seen)) < 60:
                    connection.drain_events(timeout=3)
            except connection.connection_errors:
                time.sleep(0.2)  # the sentinel takes seconds to notice
    assert sorted(set(seen)) == list(range(60))


@contextlib.contextmanager
def started(command, port):
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        with redis.Redis(port=port) as client:
            wait_until(lambda: answers(client))
        yield process
    finally:
        process.kill()
        process.wait()


def answers(client):
    try:
        return client.ping()
    except redis.RedisError:
        return False


def wait_until(condition, seconds=START_SECONDS):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)
