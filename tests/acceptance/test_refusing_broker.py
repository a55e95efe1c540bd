"""A Redis that answers and refuses: no process ends, and what was sent before goes through after the cure."""

from __future__ import annotations

import contextlib
import functools

import pytest

from tests.acceptance.system import System, nebulox_order, running
from tests.brokers import find_redis_or_valkey, skipping
from tests.redis_brokers import RedisServer
from tests.servers import wait_until

NAMES = ("intake", "worker", "beat")
#: What a worker says when its broker turned it away; and when it started, whether or not it was turned away then.
LOST = ("Connection to broker lost",)
STARTED = ("Connected to", "Cannot connect to")


@contextlib.contextmanager
def new_server(folder):
    with contextlib.closing(RedisServer(find_redis_or_valkey(), folder)) as server:
        yield server


@pytest.fixture
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("server")
    with skipping(new_server(folder)) as server:
        server.folder = folder
        yield server


def follow_nobody(server):
    """READONLY: as after a failover that this server did not win."""
    server.redis.execute_command("REPLICAOF", "127.0.0.1", "1")
    return lambda: server.redis.execute_command("REPLICAOF", "NO", "ONE")


def want_replicas(server):
    """NOREPLICAS."""
    server.redis.config_set("min-replicas-to-write", 1)
    return lambda: server.redis.config_set("min-replicas-to-write", 0)


def fill(server):
    """OOM."""
    server.redis.config_set("maxmemory", 1)
    return lambda: server.redis.config_set("maxmemory", 0)


def fail_to_save(server):
    """MISCONF, which a PING gets too: a snapshot can't be written over a folder that holds something."""
    (server.folder / "dump.rdb").mkdir()
    (server.folder / "dump.rdb/x").touch()
    server.redis.config_set("save", "3600 1")
    server.redis.bgsave()
    wait_until(lambda: server.redis.info("persistence")["rdb_last_bgsave_status"] == "err", "it failed to save")
    return lambda: server.redis.config_set("stop-writes-on-bgsave-error", "no")


def take_nobody(server):
    """Max number of clients reached."""
    server.redis.config_set("maxclients", 1)
    return lambda: server.redis.config_set("maxclients", 1000)


def want_a_password(server):
    """NOAUTH: a password was set, and is taken back."""
    server.redis.config_set("requirepass", "new")
    return lambda: server.redis.config_set("requirepass", "")


REFUSALS = [follow_nobody, want_replicas, fill, fail_to_save, take_nobody, want_a_password]


@pytest.mark.engines
@pytest.mark.timeout(900)
@pytest.mark.parametrize("refuse", REFUSALS)
def test_no_process_ends_while_the_broker_refuses_nor_when_it_starts_then(tmp_path, server, refuse):
    with running(System(tmp_path, broker=server), *NAMES) as system:
        system.order(nebulox_order("before"))
        system.wait_for_statuses(pending=1)
        pids = {name: process.pid for name, process in system.processes.items()}

        cure = refuse(server)
        for kind in ("normal", "pubsub"):  # whoever comes back meets a server that refuses
            server.redis.client_kill_filter(_type=kind, skipme=True)
        for name in ("intake", "worker"):
            system.wait_until(functools.partial(says, system, name, LOST), f"{name} has met it")
        assert {name: process.pid for name, process in system.processes.items() if process.poll() is None} == pids

        for name in NAMES:
            system.kill(name)
        system.launch(*NAMES)
        for name in ("intake", "worker"):
            system.wait_until(functools.partial(says, system, name, STARTED), f"{name} has started")
        cure()
        system.order(nebulox_order("after"))
        system.wait_for_statuses(pending=2)
        assert all(process.poll() is None for process in system.processes.values())
        system.wait_until_told()


def says(system, name, words):
    """Whether a process has said one of them since it was last started."""
    log = system.new_log(name)
    return any(word in log for word in words)
