"""Callbacks while the database is away: kept in the broker and answered, and in the database once it is back."""

from __future__ import annotations

import base64
import json
import sqlite3

import kombu
import pytest
import redis

from tests.callbacks import KEY, nebulox_callback, post, sign
from tests.contracts.web_process import Web, ask
from tests.servers import free_port, wait_until
from workers.embedded.valkey import ensure_valkey, stop_valkey
from workers.web.shelf import QUEUE

ACCOUNTS = json.dumps({"nebulox": {"provider": "nebulox", "base_url": "http://127.0.0.1:9", "api_key": KEY}})
SECRET_KEY = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="


@pytest.fixture
def valkey(tmp_path):
    yield ensure_valkey(tmp_path)
    stop_valkey(tmp_path)


@pytest.fixture
def open_web(tmp_path):
    opened = []

    def open_one(**settings):
        opened.append(Web(tmp_path, INVOICES_ACCOUNTS=ACCOUNTS, INVOICES_SECRET_KEY=SECRET_KEY, **settings))
        return opened[-1]

    yield open_one
    for web in opened:
        web.process.end()


def away():
    """An address of a database that nobody listens on."""
    return f"postgresql+psycopg://nobody@127.0.0.1:{free_port()}/nothing"


def kept(home):
    with sqlite3.connect(home / "invoices.db") as connection:
        return connection.execute("SELECT body FROM callback ORDER BY id").fetchall()


def test_while_the_database_is_away_callbacks_wait_in_the_broker_and_a_killed_process_loses_none(
    open_web, tmp_path, valkey
):
    bodies = [nebulox_callback(f"shelved-{n}") for n in range(5)]
    client = redis.Redis(unix_socket_path=str(tmp_path / "valkey" / "valkey.sock"))
    without = open_web(INVOICES_DATABASE_URL=away())
    assert {post(f"{without.url}/callbacks/nebulox", body)[0] for body in bodies} == {200}
    assert ask(f"{without.url}/health/ready")[0] == 503
    without.process.end()
    assert client.llen(QUEUE) + client.hlen("invoices.unacked") == len(bodies)

    open_web()
    wait_until(lambda: len(kept(tmp_path)) == len(bodies), "all are in the database")
    assert sorted(row[0] for row in kept(tmp_path)) == sorted(bodies)
    wait_until(lambda: not client.llen(QUEUE) and not client.hlen("invoices.unacked"), "nothing is left in the broker")


def test_what_somebody_else_puts_there_is_checked_like_a_callback(open_web, tmp_path, valkey):
    right, forged = nebulox_callback("right"), nebulox_callback("forged")
    address = f"redis+socket://{tmp_path / 'valkey' / 'valkey.sock'}"
    with kombu.Connection(address) as connection, connection.SimpleQueue(QUEUE) as queue:
        for body, signature in ((forged, "0" * 64), (right, sign(right))):
            packed = base64.b64encode(body).decode()
            queue.put({"account": "nebulox", "body": packed, "headers": [["X-Hash", signature]]})
        queue.put({"nonsense": True})
        queue.put("text")

    open_web()
    wait_until(lambda: [row[0] for row in kept(tmp_path)] == [right], "only the right one is kept")


def test_with_both_away_the_provider_is_told_to_send_it_again(open_web):
    broker = f"redis://127.0.0.1:{free_port()}/0"
    web = open_web(INVOICES_DATABASE_URL=away(), INVOICES_BROKER_URL=broker)

    assert post(f"{web.url}/callbacks/nebulox", nebulox_callback("nowhere"))[0] == 503
