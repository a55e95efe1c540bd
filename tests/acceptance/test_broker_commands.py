"""The command line on every broker: what it sends arrives, what it says of the broker is true and holds no password."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest

from tests.acceptance.system import ROOT, START_SECONDS, System
from tests.brokers import BROKERS
from tests.redis_brokers import ESCAPED, PASSWORD
from tests.servers import free_port

pytestmark = [pytest.mark.engines, pytest.mark.timeout(900)]

LONG_SECONDS = 360  #: for several doctors, one after the other, each of which imports everything anew


@pytest.fixture(params=BROKERS)
def system(request, tmp_path, brokers):
    """No process of ours: commands and a broker."""
    with brokers.open(request.param) as broker, System(tmp_path, broker=broker) as system:
        yield system


def invoices(system, *arguments, given=""):
    """(exit code, JSON lines, what stood on stderr) of a command."""
    done = subprocess.run(
        [sys.executable, "-m", "workers.cli", *arguments],
        cwd=ROOT,
        env=system.environment,
        input=given,
        capture_output=True,
        text=True,
        check=False,
        timeout=START_SECONDS,
    )
    for secret in (PASSWORD, ESCAPED, "watch-word", "guest:guest"):
        assert secret not in done.stdout + done.stderr
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()], done.stderr


def findings(system):
    """What the doctor says, by what it looked at; the first of several."""
    code, lines, _ = invoices(system, "doctor", "--json")
    return code, {line["check"]: (line["state"], line["detail"]) for line in reversed(lines)}


def names_the_intake(system):
    """What the doctor says, once it names the intake among the workers."""
    _, found = findings(system)
    return found if "intake@" in found["workers"][1] else None


def nobody_there(settings):
    """The same addresses at ports that nobody listens on."""
    away = {name: re.sub(r":\d+/", f":{free_port()}/", url) for name, url in settings.items()}
    if "INVOICES_REDIS_URL" in away:  # a socket
        away["INVOICES_REDIS_URL"] = f"redis://127.0.0.1:{free_port()}/0"
    return away


def tells_of_the_queue(system):
    """What the doctor finds, once only the queue is wrong of what this test is about."""
    code, found = findings(system)
    states = code, found["broker"][0], found["redis"][0], found["queue"][0]
    return found if states == (1, "ok", "ok", "wrong") else None


def test_commands_reach_the_broker_and_tell_the_truth_about_it(system):
    order = {"account": "nebulox", "order_id": "A-1", "price": "9.90", "currency": "EUR"}
    many = "".join(json.dumps(order | {"order_id": f"B-{n}"}) + "\n" for n in range(3))

    flags = ("--account", "nebulox", "--order-id", "A-1", "--price", "9.90", "--currency", "EUR")
    assert invoices(system, "enqueue", *flags, "--json")[0] == 0
    assert invoices(system, "enqueue", "--json", given=many)[0] == 0
    assert system.broker.waiting("invoices.intake") == 2

    answered = "servers that answer the doctor within its seconds"
    found = system.wait_until(lambda: tells_of_the_queue(system), answered, LONG_SECONDS)
    assert "2 messages wait in invoices.intake and nobody takes them" in found["queue"][1]

    system.start("intake", "worker")
    system.wait_for_statuses(pending=4)
    answered = "the intake answers the doctor, who waits for two seconds"
    found = system.wait_until(lambda: names_the_intake(system), answered, LONG_SECONDS)
    assert found["workers"][0] == "ok", found
    assert [event["type"] for event in system.command("events", "A-1", "--json")] == ["invoice.pending"]


def test_a_broker_that_is_away_or_refuses_the_password_is_told_in_a_line(system):
    url = system.environment["INVOICES_BROKER_URL"]
    wrong = url.replace(ESCAPED, "wrong-one").replace("guest:guest", "guest:wrong-one")
    system.environment["INVOICES_BROKER_URL"] = wrong
    if wrong != url:
        code, found = findings(system)
        assert (code, found["broker"][0]) == (1, "wrong"), found
        assert "wrong-one" not in json.dumps(found)

    system.environment |= nobody_there(system.broker.settings)
    code, found = findings(system)
    assert (code, found["broker"][0], found["redis"][0]) == (1, "wrong", "wrong"), found
    flags = ("--account", "nebulox", "--order-id", "A-1", "--price", "9.90", "--currency", "EUR", "--wait", "1")
    code, _, said = invoices(system, "enqueue", *flags)
    assert code == 1
    assert "can't be reached" in said.splitlines()[-1], said
