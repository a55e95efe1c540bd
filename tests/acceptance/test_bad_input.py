"""10,000 messages that nobody can use among 10,000 good orders, over real engines: none of them harms another."""

from __future__ import annotations

import random

import pytest

from tests.acceptance.system import INTAKE_QUEUE, System
from tests.bad_messages import bad_message, good_message

pytestmark = [pytest.mark.engines, pytest.mark.timeout(600)]

EACH = 10_000
CHUNK = 500


def test_ten_thousand_bad_messages_among_as_many_good_ones(tmp_path, new_postgres_url):
    bad = [bad_message(number) for number in range(EACH)]
    mixed = [item for _, item, _ in bad] + [good_message(f"good-{number}") for number in range(EACH)]
    random.Random(7).shuffle(mixed)
    with System(tmp_path, database_url=new_postgres_url) as system:
        system.start("intake")
        pids = {name: process.pid for name, process in system.processes.items()}
        for start in range(0, len(mixed), CHUNK):
            system.redis.lpush(INTAKE_QUEUE, *mixed[start : start + CHUNK])

        system.wait_until(lambda: counts(system) == (EACH, EACH), "all are stored or listed", 300)
        system.wait_until(lambda: left(system) == 0, "no message is left in the broker", 60)

        assert {name: process.pid for name, process in system.processes.items()} == pids
        assert set(system.invoices()) == {f"good-{number}" for number in range(EACH)}
        check_reasons(system, bad)


def counts(system):
    """(orders, listed messages)."""
    (found,) = system.rows("SELECT (SELECT count(*) FROM invoice) AS i, (SELECT count(*) FROM rejected_message) AS r")
    return found["i"], found["r"]


def left(system):
    """Messages in the intake's lists, and those handed out and not acknowledged."""
    return sum(system.redis.llen(key) for key in system.redis.keys(f"{INTAKE_QUEUE}*")) + system.redis.hlen(
        "invoices.unacked"
    )


def check_reasons(system, bad):
    """Each bad message is listed once, with its own reason: counted by kind, since not every excerpt names it."""
    listed = [row["reason"] for row in system.rows("SELECT reason FROM rejected_message")]
    assert len(listed) == len(bad)
    for wanted in sorted({reason for _, _, reason in bad}, key=len, reverse=True):  # the more exact one first
        found = [reason for reason in listed if reason.startswith(wanted)]
        assert len(found) == sum(reason == wanted for _, _, reason in bad), (wanted, set(found))
        listed = [reason for reason in listed if not reason.startswith(wanted)]
    assert listed == []
