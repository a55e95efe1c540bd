"""The commands that need a broker, on a real one."""

from __future__ import annotations

import json
import os
import uuid

import pytest
from kombu import Connection

from config.celeryconfig import INTAKE_QUEUE
from config.settings import load_settings
from tests.unit.cli_runner import Invoices
from workers.bootstrap import open_store
from workers.embedded.sandbox.process import SandboxProcess
from workers.store.intake import Rejection

PATIENCE_TRIES = 5


@pytest.fixture
def invoices(capsys, monkeypatch, tmp_path, valkey_broker_url, empty_valkey_url):
    """The command on a broker of its own and a migrated database."""
    for name in [name for name in os.environ if name.startswith("INVOICES_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("INVOICES_HOME", str(tmp_path))
    monkeypatch.setenv("INVOICES_BROKER_URL", valkey_broker_url)
    monkeypatch.setenv("INVOICES_SECRET_KEY", "A" * 43 + "=")
    invoices = Invoices(capsys, tmp_path)
    assert invoices("migrate").code == 0
    return invoices


@pytest.fixture
def sent(valkey_broker_url):
    """Takes what lies in the intake queue: (task, body text) of each message."""

    def take():
        messages: list[tuple[str, str]] = []
        with Connection(valkey_broker_url) as connection:
            queue = connection.SimpleQueue(INTAKE_QUEUE, serializer="json")
            queue.consumer.accept = {"json"}
            while True:
                try:
                    message = queue.get(block=False)
                except queue.Empty:
                    return messages
                body = message.body
                messages.append((message.headers["task"], body if isinstance(body, str) else body.decode()))
                message.ack()

    return take


def test_an_order_reaches_the_queue_with_every_digit(invoices, sent):
    given = ("--account", "nebulox", "--order-id", "7", "--price", "12.5000000000", "--currency", "eur")
    ran = invoices(
        "enqueue", *given, "--metadata", '{"rate": 1.10, "big": 12345678901234567890.5}', "--json", "--no-wait"
    )
    assert ran.lines == [{"account": "nebulox", "order_id": "7", "idempotency_key": "7", "verdict": None}]

    ((task, body),) = sent()
    assert task == "invoices.create"
    args, fields, _ = json.loads(body, parse_float=str)
    assert args == []
    assert fields["price"] == "12.5000000000"
    assert fields["metadata"] == {"rate": "1.10", "big": "12345678901234567890.5"}


def test_a_file_is_sent_in_batches_and_its_bad_lines_are_named(invoices, sent, tmp_path):
    good = [{"account": "nebulox", "order_id": str(n), "price": n + 0.5, "currency": "EUR"} for n in range(600)]
    lines = [json.dumps(order) for order in good]
    lines.insert(2, "{not json")
    lines.insert(4, json.dumps({"account": "nebulox", "order_id": "x", "price": "-1", "currency": "EUR"}))
    lines.insert(6, "")
    path = tmp_path / "orders.jsonl"
    path.write_text("\n".join(lines))

    ran = invoices("enqueue", "--file", path)
    assert ran.code == 1
    assert ran.out == "queued 600 orders; 2 lines were left out\n"
    told = ran.err.splitlines()
    assert told[0].startswith("invoices: line 3: is not JSON")
    assert told[1].startswith("invoices: line 5: price:")

    messages = sent()
    assert [task for task, _ in messages] == ["invoices.create_many"] * 2
    orders = [order for _, body in messages for order in json.loads(body)[1]["orders"]]
    assert len(orders) == 600
    assert orders[3]["price"] == "3.5"


def test_a_broker_that_is_away_is_one_line(invoices, monkeypatch):
    monkeypatch.setenv("INVOICES_BROKER_URL", "redis://:hunter2@127.0.0.1:1")
    given = ("--account", "nebulox", "--order-id", "7", "--price", "1", "--currency", "EUR")
    ran = invoices("enqueue", *given, "--wait", "0")
    assert ran.code == 1
    assert len(ran.err.splitlines()) == 1
    assert "can't be reached" in ran.err
    assert "hunter2" not in ran.err


def test_a_rejected_message_is_sent_again_as_it_was_unless_only_its_beginning_was_kept(invoices, sent):
    store = open_store(load_settings())
    text = '{"account":"nebulox","order_id":"7","price":1.10,"currency":"EUR"}'
    store.reject(
        [
            Rejection(uuid.uuid4().hex, "invoices.create", "account: unknown", text, True),
            Rejection(uuid.uuid4().hex, "invoices.create", "too large", text[:20], False),
            Rejection(uuid.uuid4().hex, "foreign.task", "no such task", "{}", True),
        ]
    )
    store.close()

    ran = invoices("redrive", "rejected", "--all", "--json")
    assert ran.code == 1
    assert sorted(line["sent"] for line in ran.lines) == [False, False, True]
    ((task, body),) = sent()
    assert task == "invoices.create"
    assert '"price":1.10' in body
    redriven = [line for line in invoices("rejected", "--json").lines if line["redriven_at"]]
    assert [line["excerpt"] for line in redriven] == [text]
    assert invoices("redrive", "rejected", "99", "--json").code == 1


def test_doctor_finds_nothing_wrong_where_all_is_well(invoices, monkeypatch):
    with SandboxProcess() as sandbox:
        monkeypatch.setenv("INVOICES_SANDBOX_PORT", sandbox.url.rpartition(":")[2])
        # On a busy machine a server may not answer the doctor within its seconds: that is no wrong of this system's.
        tries = [invoices("doctor", "--json")]
        while tries[-1].code != 0 and len(tries) < PATIENCE_TRIES:
            tries.append(invoices("doctor", "--json"))
    ran = tries[-1]
    assert {line["state"] for line in ran.lines} <= {"ok", "note"}, ran.lines
    assert ran.code == 0


def test_an_endpoint_is_tested_with_a_signature_that_its_receiver_accepts(invoices, monkeypatch):
    with SandboxProcess() as sandbox:
        monkeypatch.setenv("INVOICES_WEBHOOK_ALLOW", sandbox.url.removeprefix("http://"))
        url = sandbox.receiver_url("shop")
        (added,) = invoices("endpoints", "add", url, "--json").lines
        refused = invoices("endpoints", "test", added["id"])
        assert refused.code == 1
        assert "401" in refused.err

        import httpx

        httpx.post(f"{url}/secret", json={"secret": added["secret"]}, timeout=60, trust_env=False).raise_for_status()
        (told,) = invoices("endpoints", "test", added["id"], "--json").lines
        assert (told["outcome"], told["status"]) == ("delivered", 204)
