"""The doctor on the whole system: exit 0 where all is well, exit 1 for each way it may stand still."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from celery import Celery
from sqlalchemy import text

from config.celeryconfig import INTAKE_QUEUE, celery_settings
from config.settings import load_settings
from tests.acceptance.facts import RECEIVER
from tests.acceptance.system import ROOT, START_SECONDS, System, nebulox_order, zeroxhost_order
from workers.store.agenda import PUBLISH_LANE, RETAIN_LANE

pytestmark = [pytest.mark.engines, pytest.mark.timeout(1200)]

KINDS = ("intake", "worker", "beat")
LONG_SECONDS = 360  #: for several doctors: each imports everything anew, and gives up what does not answer in time


@pytest.fixture(params=["sqlite", "postgresql"])
def system(request, tmp_path):
    """All processes of the Procfile, idle, with a receiver."""
    url = request.getfixturevalue("new_postgres_url") if request.param == "postgresql" else None
    with System(tmp_path, database_url=url) as system:
        system.start(*KINDS)
        system.add_receiver()
        yield system


def findings(system):
    """(exit code, what is not well by its cause)."""
    done = subprocess.run(
        [sys.executable, "-m", "workers.cli", "doctor", "--json"],
        cwd=ROOT,
        env=system.environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=START_SECONDS,
    )
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert found, done.stderr
    return done.returncode, {line["cause"]: line for line in found if line["state"] != "ok"}


def finds(system, cause, state="wrong"):
    """The finding, once the doctor has it; every wrong one comes with exit 1."""

    def asked():
        code, found = findings(system)
        if cause not in found:
            return None
        assert found[cause]["state"] == state, found
        assert code == 1 or state == "note", found
        return found[cause]

    return system.wait_until(asked, f"the doctor finds {cause}", LONG_SECONDS)


def age(system, subject):
    """What is planned for it has been due for an hour; a moment later somebody may have met it."""
    with system.engine.begin() as connection:
        long_ago = "now() - interval '1 hour'"
        if connection.dialect.name == "sqlite":
            long_ago = "strftime('%Y-%m-%d %H:%M:%f000', 'now', '-1 hour')"
        connection.execute(
            text(f"UPDATE agenda SET due_at = {long_ago} WHERE subject = :subject AND lease_token IS NULL"),
            {"subject": subject},
        )


def ask_nicely(system, command, **arguments):
    """Celery's remote control, as anybody who can send may use it."""
    settings = load_settings({name: value for name, value in system.environment.items() if name.startswith("INVOICES")})
    app = Celery(config_source=celery_settings(settings), set_as_current=False)
    try:
        return getattr(app.control, command)(**arguments, reply=True, timeout=2)
    finally:
        app.close()


def test_a_system_that_is_idle_for_long_has_nothing_wrong_and_says_so(system):
    system.order(*(nebulox_order(f"N-{n}") for n in range(3)), *(zeroxhost_order(f"Z-{n}") for n in range(3)))
    system.wait_for_statuses(pending=6)
    system.wait_until_told()
    age(system, PUBLISH_LANE)
    age(system, RETAIN_LANE)
    code, found = findings(system)
    assert (code, [cause for cause, line in found.items() if line["state"] == "wrong"]) == (0, []), found


def test_a_provider_that_hangs_is_found_by_its_doubts(system):
    system.control("faults", {"provider": "nebulox", "fault": "accept_then_timeout", "times": None})
    system.order(*(nebulox_order(f"H-{n}") for n in range(8)))
    system.wait_for_statuses(in_doubt=8)
    found = finds(system, "in_doubt")
    assert (found["check"], found["count"]) == ("account nebulox", 8)
    assert found["since"]


def test_a_receiver_that_rejects_everything_is_found(system):
    system.ask(f"{system.sandbox.receiver_url(RECEIVER)}/faults", {"status": 500, "times": None})
    system.order(*(nebulox_order(f"R-{n}") for n in range(3)))
    system.wait_for_statuses(pending=3)
    found = finds(system, "failing")
    (endpoint,) = system.command("endpoints", "list", "--json")
    assert found["check"] == f"endpoint {endpoint['id']}"
    assert "500" in found["detail"]


def test_a_redis_that_refuses_writes_is_found(system):
    system.redis.replicaof("127.0.0.1", "1")
    try:
        found = finds(system, "refuses_writes")
    finally:
        system.redis.replicaof("no", "one")
    assert "READONLY" in found["detail"]


def test_orders_that_wait_for_an_intake_are_found(system):
    system.kill("intake")
    finds(system, "no_intake", "note")
    system.order(nebulox_order("W-1"))
    assert finds(system, "unread")["count"] == 1
    system.start("intake")
    system.wait_for_statuses(pending=1)


def test_an_intake_that_is_told_to_read_nothing_is_found(system):
    system.environment["INVOICES_REMOTE_CONTROL"] = "all"
    system.restart("intake")
    system.wait_until(
        lambda: any(
            "ok" in answer
            for reply in ask_nicely(system, "cancel_consumer", queue=INTAKE_QUEUE)
            for answer in reply.values()
        ),
        "it says that it reads no more",
    )
    found = finds(system, "reads_nothing")
    assert "intake@" in found["detail"]
    system.order(nebulox_order("C-1"))
    assert finds(system, "unread")["count"] == 1


def test_a_system_without_workers_is_found_by_what_is_late(system):
    system.kill("worker")
    system.order(nebulox_order("L-1"))
    system.wait_for_statuses(queued=1)
    finds(system, "no_worker", "note")
    age(system, next(iter(system.invoices().values()))["id"])
    assert finds(system, "overdue")["count"] == 1


def test_a_system_without_beat_is_a_note(system):
    system.kill("beat")
    finds(system, "no_beat", "note")
