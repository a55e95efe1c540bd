"""10,000 messages that nobody can use among 10,000 good orders, over real engines: none of them harms another.

On the other brokers a tenth of that. RabbitMQ has no lists that anybody may push anything into: there it is the
messages that an AMQP client can send.
"""

from __future__ import annotations

import itertools
import random
import signal

import kombu
import pytest

from tests.acceptance.messages import INTAKE_QUEUE
from tests.acceptance.system import System
from tests.bad_messages import as_published, bad_message, good_message

pytestmark = [pytest.mark.engines, pytest.mark.timeout(900)]

EACH, FEWER = 10_000, 1_000
CHUNK = 500


def test_ten_thousand_bad_messages_among_as_many_good_ones(tmp_path, new_postgres_url, either_broker):
    each = FEWER if either_broker else EACH
    with System(tmp_path, database_url=new_postgres_url, broker=either_broker) as system:
        system.start("intake")
        pids = {name: process.pid for name, process in system.processes.items()}
        bad = list(itertools.islice(sendable(system), each))
        mixed = [item for _, item, _ in bad] + [good_message(f"good-{number}") for number in range(each)]
        random.Random(7).shuffle(mixed)
        send(system, mixed)

        system.wait_until(lambda: counts(system) == (each, each), "all are stored or listed", 450)
        system.wait_until(lambda: left(system) == 0, "no message is left in the broker")

        assert {name: process.pid for name, process in system.processes.items()} == pids
        assert set(system.invoices()) == {f"good-{number}" for number in range(each)}
        check_reasons(system, bad)
        system.kill("intake", signal.SIGTERM)
        assert left(system) == 0  # nor did it hold one


def sendable(system):
    """Bad messages without end, of the kinds that the broker takes."""
    for number in itertools.count():
        message = bad_message(number)
        if system.broker.speaks_redis or as_published(message[1]):
            yield message


def send(system, items):
    """Into Redis' list as they are, or as an AMQP client sends what they hold."""
    if system.broker.speaks_redis:
        for start in range(0, len(items), CHUNK):
            system.redis.lpush(INTAKE_QUEUE, *items[start : start + CHUNK])
        return
    with kombu.Connection(system.broker_url, **system.broker.connection_options) as connection:
        producer = connection.Producer(serializer=None)
        for item in items:
            message = as_published(item)
            assert message is not None
            producer.publish(exchange="", routing_key=INTAKE_QUEUE, **message)


def counts(system):
    """(orders, listed messages)."""
    (found,) = system.rows("SELECT (SELECT count(*) FROM invoice) AS i, (SELECT count(*) FROM rejected_message) AS r")
    return found["i"], found["r"]


def left(system):
    """Messages that wait, and those handed out and not acknowledged."""
    return system.broker.waiting(INTAKE_QUEUE) + system.broker.held()


def check_reasons(system, bad):
    """Each bad message is listed once, with its own reason: counted by kind, since not every excerpt names it."""
    listed = [row["reason"] for row in system.rows("SELECT reason FROM rejected_message")]
    assert len(listed) == len(bad)
    for wanted in sorted({reason for _, _, reason in bad}, key=len, reverse=True):  # the more exact one first
        found = [reason for reason in listed if reason.startswith(wanted)]
        assert len(found) == sum(reason == wanted for _, _, reason in bad), (wanted, set(found))
        listed = [reason for reason in listed if not reason.startswith(wanted)]
    assert listed == []
