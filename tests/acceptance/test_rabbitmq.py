"""RabbitMQ: what foreign senders do there, and what the broker does that Redis doesn't."""

from __future__ import annotations

import json
import signal
import sys
import uuid
from datetime import UTC, datetime, timedelta

import kombu
import pytest
from celery import Celery

from tests.acceptance.system import ALL_PATIENT, System, nebulox_order, running
from tests.brokers import run_rabbitmq, skipping

pytestmark = [pytest.mark.engines, pytest.mark.timeout(900)]

QUEUE = "invoices.intake"
#: A consumer that does not acknowledge for so long is cut off (30 minutes by default); looked at once a second.
IMPATIENT = "[{rabbit, [{consumer_timeout, 4000}, {channel_tick_interval, 1000}]}]."


@pytest.fixture(scope="module")
def system(tmp_path_factory, brokers):
    """All processes."""
    with (
        brokers.open("rabbitmq") as broker,
        running(System(tmp_path_factory.mktemp("s"), broker=broker), "intake", "worker") as system,
    ):
        yield system


def publish(system, body, *, headers=None, exchange="", **properties):
    """A message as a client writes it that declares nothing: the default exchange leads to the queue of that name."""
    with kombu.Connection(system.broker_url, **system.broker.connection_options) as connection:
        producer = connection.Producer(serializer=None)
        content = {"content_type": "application/json", "content_encoding": "utf-8"} | properties
        producer.publish(body, exchange=exchange, routing_key=QUEUE, headers=headers, **content)


def call(*fields, task="invoices.create", **headers):
    return {"body": json.dumps([[], *fields, {}]), "headers": {"task": task, "id": str(uuid.uuid4())} | headers}


def test_orders_come_from_celery_and_from_clients_that_declare_nothing(system):
    with Celery("somebody-else", broker=system.broker_url) as sender:
        sender.conf.task_create_missing_queue_type = "quorum"
        sender.send_task("invoices.create", kwargs=nebulox_order("celery"), queue=QUEUE)
        sender.send_task("invoices.create", kwargs=nebulox_order("later"), queue=QUEUE, countdown=20)
        sender.send_task("invoices.create", kwargs=nebulox_order("short-lived"), queue=QUEUE, expires=3600)
        many = {"orders": [nebulox_order("many-1")]}
        sender.send_task("invoices.create_many", kwargs=many, queue=QUEUE, priority=5)
    publish(system, **call(nebulox_order("bare")))
    publish(system, **call(nebulox_order("named")), exchange=QUEUE)
    old = {"task": "invoices.create", "id": "1", "args": [], "kwargs": nebulox_order("protocol-1")}
    publish(system, json.dumps(old))

    wanted = {"celery", "later", "short-lived", "many-1", "bare", "named", "protocol-1"}
    system.wait_until(lambda: set(system.invoices()) == wanted, "all orders are taken")
    assert system.invoices()["short-lived"]["create_before"] is not None
    assert "native delayed" not in system.log("intake")


def test_nonsense_is_listed_and_acknowledged(system):
    far = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    order = nebulox_order("x")
    nonsense = {
        "body: is not JSON": {"body": "{"},
        "body: is not UTF-8": {"body": b"\xff\x00"},
        "id: is missing": {"body": json.dumps([[], order, {}]), "headers": {"task": "invoices.create"}},
        "task: there is no task 'a.b'": call({}, task="a.b"),
        "eta: lies more than": call(order, eta=far),
        "colour: unknown field": call(order | {"colour": "red"}),
        "content-type: must be": {"body": "x", "content_type": "application/x-python-serialize"},
        "body: compressed bodies": call(order) | {"body": b"x", "compression": "zlib"},
    }
    for message in nonsense.values():
        publish(system, **message)
    system.order(nebulox_order("good"))

    system.wait_until(lambda: "good" in system.invoices(), "the order behind the nonsense")
    listed = "SELECT reason FROM rejected_message"
    system.wait_until(lambda: len(system.rows(listed)) == len(nonsense), "all nonsense is listed")
    found = [row["reason"] for row in system.rows(listed)]
    for reason in nonsense:
        assert any(line.startswith(reason) for line in found), (reason, found)
    # What was not acknowledged would come back now, or a moment later. Asked to stop, since one that is killed between
    # its commit and its acknowledgement leaves a message behind as it should.
    system.kill("intake", signal.SIGTERM)
    system.wait_until(lambda: system.broker.waiting(QUEUE) == 0, "nothing is left over")
    system.holds(lambda: system.broker.waiting(QUEUE) == 0, "nothing comes back", 2)
    system.start("intake")
    assert system.errors() == []


def test_with_tls_certificates_are_looked_at(system):
    url = system.broker.tls_url
    flags = ("--account", "nebulox", "--price", "9.90", "--currency", "EUR", "--order-id")
    plain = system.environment
    try:
        system.environment = plain | {"INVOICES_BROKER_URL": url}
        system.command("enqueue", *flags, "by-tls", "--json")
        system.restart("intake")
        system.wait_until(lambda: "by-tls" in system.invoices(), "an order over TLS, read over TLS")
        system.environment = plain | {"INVOICES_BROKER_URL": url.partition("?")[0]}
        with pytest.raises(AssertionError, match="certificate verify failed"):
            system.command("enqueue", *flags, "unseen", "--wait", "0")
    finally:
        system.environment = plain


def test_messages_held_longer_than_the_broker_allows_come_back_and_are_stored_once(
    tmp_path, tmp_path_factory, new_postgres_url, postgres_behind_a_door
):
    """While the database is away each intake thread holds a message; RabbitMQ cuts such a consumer off."""
    door, url = postgres_behind_a_door
    with (
        skipping(run_rabbitmq(tmp_path_factory.mktemp("broker"), IMPATIENT)) as broker,
        System(
            tmp_path, broker=broker, database_url=url, direct_database_url=new_postgres_url, accounts=ALL_PATIENT
        ) as system,
    ):
        system.start_program("up", [sys.executable, "-m", "workers.cli", "up", "--no-sandbox"])
        system.wait_until(lambda: "pump.started" in system.log("up"), "the worker runs")
        door.shut()
        system.order(*(nebulox_order(f"held-{n}") for n in range(50)))
        log = broker.folder / "log" / "invoices@localhost.log"
        system.wait_until(lambda: "Timeout value used: 4000 ms" in log.read_text(), "the consumer is cut off")
        door.open()

        system.wait_for_statuses(pending=50)
        assert set(system.creates().values()) == {1}
        system.wait_until(lambda: broker.waiting(QUEUE) == 0, "nothing is left over")
