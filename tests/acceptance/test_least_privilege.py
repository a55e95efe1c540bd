"""Every process with no more rights than it needs: in PostgreSQL by deploy/sql/roles.sql, in Redis and Valkey by
deploy/redis/users.acl. What they need they have, and what they need not they can't do."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys

import psycopg
import pytest
import redis

from tests.acceptance.system import PATIENT, ROOT, START_SECONDS, System, nebulox_order, running, zeroxhost_order
from tests.acceptance.test_callbacks import call_back, pay
from tests.acceptance.test_http_orders import connect
from tests.brokers import WITH_USERS
from tests.least_privilege import Logins
from tests.redis_brokers import NO_RETRY
from workers.store.tables import plain

pytestmark = [pytest.mark.engines, pytest.mark.timeout(900)]

ACCOUNTS = {"nebulox": {**PATIENT, "poll_seconds": 3600}, "zeroxhost": {**PATIENT, "poll_seconds": 0.3}}
ALL = ("intake", "worker", "web", "beat")
TABLES = [getattr(plain, name).name for name in plain.__all__]


@pytest.fixture(scope="module", params=[*WITH_USERS])
def broker(request, brokers):
    with brokers.open(request.param) as broker:
        yield broker


@pytest.fixture(scope="module")
def database_url(postgres_url, broker):
    """A database with its four logins for each broker, shared by the tests of what they can't do."""
    from tests.engines import new_postgres_database

    with new_postgres_database(postgres_url) as url:
        yield url


@pytest.fixture(scope="module")
def system(tmp_path_factory, database_url, broker):
    logins = Logins(database_url)
    home = tmp_path_factory.mktemp("least")
    with running(
        System(home, database_url=database_url, accounts=ACCOUNTS, broker=broker, logins=logins), *ALL
    ) as system:
        yield system


def denied(system):
    """Lines of the logs that tell of a right that was missing, and what Redis refused."""
    # A client's name and version, which it may keep to itself: redis-py goes on without.
    return refused_in_log(system) + [line for line in system.broker.refused() if "client|setinfo" not in line]


def refused_in_log(system):
    """Lines of the logs that tell of a right that was missing."""
    words = ("permission denied", "NoPermission", "NOPERM", "no permissions", "InsufficientPrivilege")
    return [line for line in system.log_lines() if any(word in line for word in words)]


def test_orders_by_message_and_by_http_callbacks_and_webhooks_go_their_whole_way(system):
    system.order(
        nebulox_order("expires", lifetime_minutes="0.03"),
        nebulox_order("bad", price="-1"),
        nebulox_order("called-back"),
        nebulox_order("dropped"),
        zeroxhost_order("paid", "~pay:1~"),
    )
    system.wait_for_statuses("called-back", pending=1)
    system.wait_for_statuses("dropped", pending=1)
    system.publish("invoices.cancel", {"account": "nebulox", "order_id": "dropped", "reason": "no more"})
    pay(system, "called-back")
    assert call_back(system, "called-back")[0][0] == 200
    (token,) = system.command("tokens", "add", "shop", "--scope", "orders", "--scope", "read", "--json")
    with connect(system, token["token"]) as shop:
        sent = shop.post("/v1/orders", json=nebulox_order("by-http"), headers={"prefer": "wait=30"})
        assert sent.status_code == 201, sent.text
        assert shop.get("/v1/events").status_code == 200
    system.wait_for_statuses("called-back", paid=1)
    system.wait_for_statuses("paid", paid=1)
    system.wait_for_statuses("expires", expired=1)
    system.wait_for_statuses("dropped", cancelled=1)
    system.wait_until_told()
    system.check_history()
    system.check_told()
    assert denied(system) == []
    assert system.errors() == []


def test_what_a_killed_worker_had_in_hand_comes_back(system):
    system.control("faults", {"provider": "nebulox", "fault": "delay", "argument": 2, "match": "again"})
    system.order(*(nebulox_order(f"again-{n}") for n in range(5)))
    system.wait_for_calls("again", 1)
    system.kill("intake")
    system.kill("worker")
    system.control("faults", method="DELETE")
    system.start("intake", "worker")
    system.wait_for_statuses("again", 200, pending=5)
    assert denied(system) == []


def test_what_people_do_by_command_needs_no_more_than_the_web_process_has(system):
    (endpoint,) = system.command("endpoints", "list", "--json")
    for command in (
        ("list",),
        ("show", "paid"),
        ("prove", "paid", "--output", "-"),
        ("events",),
        ("why", "paid"),
        ("rejected",),
        ("contradictions",),
        ("unmatched", "list"),
        ("drift", "list"),
        ("deliveries", "list"),
        ("audit",),
        ("mark", "again-1", "failed", "--reason", "by phone"),
        ("endpoints", "rotate", endpoint["id"]),
        ("endpoints", "reseal"),
        ("users", "add", "anna", "--role", "viewer"),
        ("users", "remove", "anna"),
        ("tokens", "list"),
        ("tokens", "revoke", "shop"),
    ):
        system.command(*command, "--json")
    told = doctor(system)
    assert {one["check"] for one in told} >= {"database", "broker", "redis", "workers", "stream", "clock"}, told
    assert [one for one in told if "permission" in one["detail"] or one["cause"] == "rights"] == []
    assert denied(system) == []


def doctor(system):
    """What it finds, with the rights of people."""
    command = [sys.executable, "-m", "workers.cli", "doctor", "--json"]
    environment = system.environment_of("people")
    ran = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=START_SECONDS, check=False
    )
    return [json.loads(line) for line in ran.stdout.splitlines()]


# --- what nobody may ------------------------------------------------------------------------------------------------

SECRETS = [
    "SELECT hash FROM access_token",
    "SELECT password FROM console_person",
    "SELECT hash FROM console_session",
    "SELECT hash FROM console_link",
    "SELECT key FROM console_attempt",
]
DANGEROUS = [
    "DROP TABLE invoice",
    "TRUNCATE invoice",
    "ALTER TABLE invoice ADD COLUMN more int",
    "CREATE TABLE more (id int)",
    "DELETE FROM invoice",
    "UPDATE operator_act SET reason = 'none'",
    "DELETE FROM operator_act",
    "UPDATE evidence SET kind = 'x'",
    "UPDATE alembic_version SET version_num = '0001'",
    "INSERT INTO restoration (epoch, at) VALUES (99, now())",
    "CREATE ROLE more",
    "COPY invoice TO PROGRAM 'true'",
]
READS_ONLY = [f"{what} {table}" for table in TABLES for what in ("DELETE FROM",)] + [
    "UPDATE invoice SET status = 'paid'"
]
FORBIDDEN = {
    "intake": [
        *DANGEROUS,
        *SECRETS,
        "SELECT secrets FROM endpoint",
        "SELECT * FROM callback",
        "UPDATE endpoint SET url = ''",
    ],
    "worker": [*DANGEROUS, *SECRETS, "UPDATE endpoint SET url = ''", "INSERT INTO access_token DEFAULT VALUES"],
    "web": [*DANGEROUS, "DELETE FROM event", "UPDATE access_token SET scopes = 'admin'", "UPDATE event SET body = ''"],
    "reader": [
        *DANGEROUS,
        *SECRETS,
        *READS_ONLY,
        "SELECT secrets FROM endpoint",
        "SELECT sealed_headers FROM endpoint",
    ],
    "beat": [*DANGEROUS, *SECRETS, "SELECT * FROM invoice", "SELECT * FROM alembic_version"],
}


@pytest.mark.parametrize("who", FORBIDDEN)
def test_in_postgresql_nobody_can_do_what_they_need_not(system, who):
    with contextlib.closing(system.logins.connect(who)) as session:
        for statement in FORBIDDEN[who]:
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                session.execute(statement.encode())


def test_the_reading_role_reads_all_else(system):
    with contextlib.closing(system.logins.connect("reader")) as session:
        assert session.execute("SELECT count(*) FROM invoice").fetchone()[0] > 0
        assert session.execute("SELECT id, url FROM endpoint").fetchall()


OTHERS = [("FLUSHALL",), ("CONFIG", "GET", "*"), ("KEYS", "*"), ("SCAN", "0"), ("ACL", "LIST"), ("CLIENT", "LIST")]
OTHERS += [("SHUTDOWN",), ("SET", "somebody-else's", "1"), ("GET", "somebody-else's")]
OTHERS += [("SCRIPT", "FLUSH"), ("FUNCTION", "LIST"), ("MONITOR",), ("SUBSCRIBE", "news"), ("REPLICAOF", "NO", "ONE")]
READS_STREAM = [("XADD", "invoices:events", "*", "a", "b"), ("XTRIM", "invoices:events", "MAXLEN", "0")]
REFUSED = {
    "intake": [*OTHERS, *READS_STREAM, ("XRANGE", "invoices:events", "-", "+"), ("GET", "invoices:rate:nebulox")],
    "worker": [*OTHERS, ("DEL", "somebody-else's")],
    "web": [*OTHERS, *READS_STREAM, ("DEL", "invoices:events"), ("DEL", "invoices:rate:nebulox")],
    "beat": [
        *OTHERS,
        *READS_STREAM,
        ("LPUSH", "invoices.intake", "x"),
        ("RPOP", "invoices.work"),
        ("EVAL", "return 1", "0"),
    ],
    "reader": [*OTHERS, *READS_STREAM, ("LLEN", "invoices.intake"), ("DEL", "invoices:events")],
}


@pytest.mark.parametrize("who", REFUSED)
def test_in_redis_nobody_can_do_what_they_need_not(system, who):
    with redis.Redis.from_url(system.broker.url_of(who), retry=NO_RETRY) as client:
        assert client.ping()
        for command in REFUSED[who]:
            with pytest.raises(redis.exceptions.NoPermissionError):
                client.execute_command(*command)


def test_who_reads_the_stream_reads_it(system):
    with redis.Redis.from_url(system.broker.url_of("reader"), retry=NO_RETRY) as client:
        entries = client.xrange("invoices:events")
        assert client.xread({"invoices:events": "0"}, count=1)
    assert json.loads(entries[0][1][b"event"])["specversion"] == "1.0"


def test_without_a_password_nobody_gets_in(system):
    client = redis.Redis.from_url(system.broker.plain_url, retry=NO_RETRY)
    with client, pytest.raises(redis.exceptions.AuthenticationError):
        client.ping()
