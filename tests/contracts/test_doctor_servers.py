"""What the doctor says of the servers themselves: a database that takes no writes, a Redis that refuses them."""

from __future__ import annotations

from collections import namedtuple

import pytest
import redis
from sqlalchemy import text
from sqlalchemy.engine import make_url

from tests.contracts.doctor_cases import by_cause, settings, wrong
from tests.contracts.store_cases import Background, open_store, pend, queue, wait_until_blocked
from tests.engines import run_valkey
from workers.cli.doctor import database as looked_at
from workers.cli.doctor.database import check_database, check_disk, check_server
from workers.cli.doctor.redis_server import PROBE_KEY, _tell_memory, check_redis
from workers.cli.doctor.stream import check_stream
from workers.store.database import Database

# --- the database -----------------------------------------------------------------------------------------------------


@pytest.fixture
def on_postgresql(database):
    """Only where the database is a server."""
    if not database.is_postgresql:
        pytest.skip("SQLite is no server")
    return database


def test_a_database_that_takes_writes_is_fine(database_url, tmp_path):
    found = list(check_database(settings(tmp_path, database_url)))
    assert wrong(found) == []
    assert [finding.state for finding in found if finding.check == "database"] == ["ok"]


def test_the_write_that_is_tried_changes_nothing(database):
    store = open_store(database)
    store.add_standing()
    with database.reading() as connection:
        before = connection.execute(text("SELECT * FROM agenda ORDER BY stage")).all()
    assert list(check_server(database)) == []
    with database.reading() as connection:
        assert connection.execute(text("SELECT * FROM agenda ORDER BY stage")).all() == before


def test_a_sqlite_file_that_takes_no_writes_is_wrong(sqlite_template, tmp_path):
    database = Database(f"sqlite:///file:{sqlite_template}?mode=ro&uri=true")
    found = by_cause(check_server(database))
    database.close()
    assert wrong(found.values()) == ["read_only"]
    assert "readonly" in found["read_only"].detail


def test_a_table_that_may_not_be_written_is_wrong(on_postgresql, database_url):
    with on_postgresql.transaction() as connection:
        connection.execute(text("CREATE RULE refused AS ON UPDATE TO agenda DO INSTEAD SELECT 1 / 0 FROM agenda"))
        connection.execute(
            text("INSERT INTO agenda (stage, subject, lane, claims, pokes) VALUES ('a', 'b', 'c', 0, 0)")
        )
    assert wrong(check_server(on_postgresql)) == ["read_only"]


def test_a_session_that_keeps_rows_locked_is_named_with_the_command_that_ends_it(on_postgresql, monkeypatch):
    monkeypatch.setattr(looked_at, "LONG_LOCK_SECONDS", 0)
    queue(open_store(on_postgresql))

    def want_it_too():
        with on_postgresql.transaction() as connection:
            connection.execute(text("UPDATE invoice SET status = status"))

    with on_postgresql.transaction() as connection:
        pid = connection.execute(text("SELECT pg_backend_pid() FROM invoice FOR UPDATE")).scalar()
        alone = by_cause(check_server(on_postgresql))["locks"]
        waiter = Background(want_it_too)
        wait_until_blocked(on_postgresql)
        found = [each for each in check_server(on_postgresql) if each.command == alone.command]
    waiter.result()
    assert (alone.state, alone.count, alone.command) == ("note", 0, f"SELECT pg_terminate_backend({pid})")
    assert alone.since is not None
    assert [(each.state, each.count) for each in found] == [("wrong", 1)]
    assert list(check_server(on_postgresql)) == []


def test_a_server_with_nearly_no_connection_left_is_wrong(on_postgresql, monkeypatch):
    monkeypatch.setattr(looked_at, "NEARLY_ALL", 0.0)
    assert wrong(check_server(on_postgresql)) == ["connections"]


@pytest.mark.parametrize(("free", "state"), [(5_000_000_000, None), (500_000_000, "note"), (1_000_000, "wrong")])
def test_a_disk_that_is_nearly_full_is_told(tmp_path, monkeypatch, free, state):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage(10**12, 10**12 - free, free))
    found = list(check_disk(settings(tmp_path, f"sqlite:///{tmp_path}/invoices.db")))
    assert [finding.state for finding in found] == ([state] if state else [])


# --- Redis ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def server():
    """A Valkey of this file's own, whose settings are changed."""
    with run_valkey() as where:
        yield where


@pytest.fixture
def valkey(server):
    """(its URL, a client); as it was afterwards."""
    with redis.Redis.from_url(server.redis_url) as client:
        client.flushall()
        yield server.redis_url, client
        client.replicaof("no", "one")
        for name, value in {"maxmemory": "0", "maxmemory-policy": "noeviction", "min-replicas-to-write": "0"}.items():
            client.config_set(name, value)


@pytest.fixture
def config(tmp_path, valkey):
    """Settings of that server, broker and Redis in one."""
    return settings(tmp_path, broker_url=valkey[0].replace("unix://", "redis+socket://"))


def test_a_redis_that_takes_writes_is_fine_and_keeps_nothing_of_the_probe_for_long(config, valkey):
    (found,) = check_redis(config)
    assert (found.state, found.cause) == ("ok", None)
    assert 0 < valkey[1].pttl(PROBE_KEY) <= 5000


@pytest.mark.parametrize(
    ("make", "word", "advice"),
    [
        (lambda client: client.replicaof("127.0.0.1", "1"), "READONLY", "replica"),
        (lambda client: client.config_set("min-replicas-to-write", "1"), "NOREPLICAS", "too few replicas"),
        (lambda client: client.config_set("maxmemory", "1"), "OOM", "memory is full"),
    ],
    ids=["readonly", "noreplicas", "oom"],
)
def test_a_redis_that_answers_and_refuses_writes_is_wrong_with_its_word_and_what_to_do(
    config, valkey, make, word, advice
):
    make(valkey[1])
    found = {finding.cause: finding for finding in check_redis(config)}
    assert found["refuses_writes"].state == "wrong"
    assert word in found["refuses_writes"].detail
    assert advice in found["refuses_writes"].detail
    assert None not in found


def test_a_user_who_may_not_write_is_told_so(tmp_path, valkey):
    url, client = valkey
    client.acl_setuser("reader", enabled=True, passwords=["+read-only-1"], categories=["+@read", "+@connection"])
    broker = url.replace("unix://", "redis+socket://")
    found = by_cause(
        check_redis(settings(tmp_path, broker_url=broker, redis_url=f"{url}?username=reader&password=read-only-1"))
    )
    client.acl_deluser("reader")
    assert wrong(found.values())
    told = " ".join(finding.detail for finding in found.values())
    assert "ACL" in told
    assert "read-only-1" not in told


@pytest.mark.parametrize(("used", "state"), [(99, "wrong"), (85, "note"), (50, None)])
def test_a_redis_whose_memory_is_nearly_full_is_told_before_it_refuses(used, state):
    found = list(_tell_memory("redis", "redis://host", {"used_memory": used, "maxmemory": 100}))
    assert [(finding.cause, finding.state) for finding in found] == ([("memory", state)] if state else [])


@pytest.mark.parametrize("field", ["aof_last_write_status", "rdb_last_bgsave_status"])
def test_a_redis_that_could_not_save_is_wrong(field):
    assert wrong(_tell_memory("redis", "redis://host", {field: "err"})) == ["not_saved"]
    assert wrong(_tell_memory("redis", "redis://host", {field: "ok"})) == []


def test_a_redis_that_evicts_is_wrong(config, valkey):
    valkey[1].config_set("maxmemory-policy", "allkeys-lru")
    assert wrong(check_redis(config)) == ["eviction"]


def test_broker_and_redis_may_be_two_servers_and_each_is_looked_at(tmp_path, valkey, valkey_url):
    url, client = valkey
    config = settings(tmp_path, broker_url=url.replace("unix://", "redis+socket://"), redis_url=valkey_url)
    assert [(finding.check, finding.state) for finding in check_redis(config)] == [("redis", "ok"), ("broker", "ok")]
    client.replicaof("127.0.0.1", "1")
    assert [(finding.check, finding.state) for finding in check_redis(config)] == [("redis", "ok"), ("broker", "wrong")]


def test_a_redis_that_is_away_is_wrong_without_its_password(tmp_path):
    config = settings(tmp_path, broker_url="redis://:hunter2-long@127.0.0.1:1/0")
    (found,) = check_redis(config)
    assert (found.state, found.cause) == ("wrong", "unreachable")
    assert "hunter2-long" not in found.safe().detail


@pytest.mark.parametrize("lead", ["600 s ahead", "by hand"])
def test_a_fence_that_the_next_publisher_does_not_reach_is_wrong_until_it_is_lifted(database, config, valkey, lead):
    store = open_store(database)
    store.add_standing()
    assert wrong(check_stream(database, config)) == []
    ahead = int(store.now().timestamp() * 1_000_000) + 600_000_000
    valkey[1].set(f"{config.stream}:fence", ahead if lead == "600 s ahead" else "oops")
    found = by_cause(check_stream(database, config))
    assert wrong(found.values()) == ["fence_ahead"]
    pend(store)
    (claim,) = store.publishing.claim_publisher(1, 60.0)
    lifted = store.publishing.lift_fence(claim, ahead)
    assert lifted is not None
    valkey[1].set(f"{config.stream}:fence", lifted)
    assert wrong(check_stream(database, config)) == []


def test_addresses_are_told_without_their_passwords(tmp_path, new_postgres_url):
    url = make_url(new_postgres_url).set(password="hunter2-long")
    config = settings(tmp_path, url.render_as_string(hide_password=False))
    found = list(check_database(config))
    assert "hunter2-long" not in " ".join(finding.detail for finding in found)
    assert wrong(found) == ["schema"]
