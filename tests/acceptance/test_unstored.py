"""Messages that could be neither stored nor listed: the broker keeps them, neighbours pass, and nobody has to act."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys

import pytest
from sqlalchemy import text

from tests.acceptance.intake import ROOT, Intake, order
from tests.migrated import new_sqlite_url
from tests.redis_brokers import Embedded

pytestmark = [pytest.mark.engines, pytest.mark.timeout(900)]

KEPT = "invoices.unstored"
MANY = 120  #: more than may be in hand at a time
#: The cause: rows with this word can be written to neither table.
BAD = "poison"
TRIGGERS = {"invoice": "order_id", "rejected_message": "excerpt"}


@pytest.fixture(params=["embedded", "redis", "rabbitmq"])  # TLS and Sentinel change the way there, not the list
def intake(request, brokers, tmp_path):
    """Not started yet."""
    url = new_sqlite_url(tmp_path)
    with contextlib.ExitStack() as stack:
        found = stack.enter_context(brokers.open(request.param))
        engine = found or stack.enter_context(contextlib.closing(Embedded(tmp_path)))
        intake = stack.enter_context(contextlib.closing(Intake(tmp_path, engine, url)))
        clear(intake)
        yield intake
        clear(intake)


def clear(intake):
    """One RabbitMQ serves all tests."""
    if not intake.speaks_redis:
        import kombu

        with kombu.Connection(intake.broker.broker_url, **intake.broker.connection_options) as connection:
            queue = kombu.Queue(KEPT, queue_arguments=intake.broker.queue_arguments)(connection)
            queue.declare()
            queue.purge()


def execute(intake, *statements):
    with intake.engine.begin() as connection:
        for statement in statements:
            connection.execute(text(statement))


def break_tables(intake):
    execute(
        intake,
        *(
            f"CREATE TRIGGER no_{table} BEFORE INSERT ON {table} WHEN NEW.{column} LIKE '%{BAD}%' "
            "BEGIN SELECT RAISE(ABORT, 'a bug'); END"
            for table, column in TRIGGERS.items()
        ),
    )


def mend_tables(intake):
    execute(intake, *(f"DROP TRIGGER no_{table}" for table in TRIGGERS))


def push(intake, fields, task="invoices.create"):
    intake.push([[], fields, {}], headers={"lang": "py", "task": task, "id": str(fields)[:60]})


def unstored(intake):
    """What the doctor says of it."""
    command = [sys.executable, "-m", "workers.cli", "doctor", "--json"]
    done = subprocess.run(command, cwd=ROOT, env=intake.environment, capture_output=True, text=True, check=False)
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert found, done.stderr
    return [(done.returncode, line) for line in found if line["check"] == "unstored"]


def kept(intake):
    """Messages in the queue; one that is being tried is on its way."""
    return intake.broker.waiting(KEPT)


def logged(intake, event):
    return [line for line in map(read_json, intake.log().splitlines()) if line.get("event") == event]


def read_json(line):
    try:
        found = json.loads(line)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def test_a_hundred_of_them_stop_nobody_and_are_stored_by_themselves_once_the_cause_is_mended(intake):
    break_tables(intake)
    intake.start()
    for number in range(MANY):
        push(intake, order(f"{BAD}-{number}"))
        if number % 4 == 0:
            push(intake, order(f"good-{number}"))
    push(intake, {"orders": [order("many-1"), order(f"{BAD}-many"), order("many-2")]}, "invoices.create_many")
    push(intake, {"colour": BAD})
    push(intake, order("last"))

    intake.until(lambda: len(intake.invoices()) == MANY // 4 + 3)
    intake.until(lambda: kept(intake) == MANY + 2)
    intake.until(lambda: intake.ready() == 0)
    assert intake.rejected() == []
    intake.until(lambda: len(logged(intake, "intake.unstored_wait")) >= 3)
    waits = [line["again_in_seconds"] for line in logged(intake, "intake.unstored_wait")]
    assert waits[1] < waits[2] <= 60
    ((code, finding),) = unstored(intake)
    assert (code, finding["state"], finding["cause"]) == (1, "wrong", "unstored")
    assert finding["count"] > MANY - 20  # some are being tried
    assert finding["since"]
    assert "a bug" in finding["detail"]

    mend_tables(intake)

    intake.until(lambda: len(intake.invoices()) == MANY // 4 + 3 + MANY + 1)
    (listed,) = intake.until(intake.rejected)
    assert "colour: unknown field" in listed["reason"]
    intake.until(lambda: kept(intake) == 0)
    intake.until(lambda: unstored(intake) == [])


def test_killed_at_any_moment_none_is_lost(intake):
    break_tables(intake)
    for number in range(30):
        push(intake, order(f"{BAD}-{number}"))
    for seen in (1, 10, 30):
        intake.start()
        intake.until(lambda seen=seen: len(logged(intake, "intake.unstored")) >= seen)
        intake.stop(signal.SIGKILL)
        intake.let_leases_end()
    mend_tables(intake)
    intake.start()

    intake.until(lambda: len(intake.invoices()) == 30)
    intake.until(lambda: kept(intake) == 0)
    intake.until_acknowledged()
    assert len(intake.rows("SELECT id FROM invoice")) == 30
    assert intake.rejected() == []
