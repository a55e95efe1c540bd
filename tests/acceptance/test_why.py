"""Why nothing happens, asked of the whole system: the provider, the receiver and the processes make each situation."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.acceptance.facts import RECEIVER
from tests.acceptance.system import ROOT, START_SECONDS, System, nebulox_order, zeroxhost_order

pytestmark = [pytest.mark.engines, pytest.mark.timeout(900)]

#: As orders meet them at their provider, by a marker in their ids, each long enough to be asked about. What concerns an
#: account as a whole comes last there: its other orders wait for the same then.
NEBULOX = {
    "cannot_be_asked": "",
    "key_refused": "~fault:inactive*99~",
}
ZEROXHOST = {
    "waits_for_payer": "",
    "confirming": "~confirm:1~",
    "final": "~pay:1~",
    "provider_refuses": "~fault:page*99~",
    "waits_for_account": "~fault:rate_limited=600~",
}


@pytest.fixture(params=["sqlite", "postgresql"])
def system(request, tmp_path):
    """Intake, worker and beat, idle."""
    url = request.getfixturevalue("new_postgres_url") if request.param == "postgresql" else None
    with System(tmp_path, database_url=url) as system:
        system.start("intake", "worker", "beat")
        yield system


def why(system, order_id):
    """What the command says, which ends well whatever it says."""
    (found,) = system.command("why", order_id, "--json")
    return found


def says(system, order_id, cause):
    """The answer, once it is this cause."""

    def asked():
        found = why(system, order_id)
        return found if found["cause"] == cause else None

    return system.wait_until(asked, f"why {order_id} says {cause}", START_SECONDS)


def health(system):
    """(exit code, what it prints)."""
    command = [sys.executable, "-m", "workers.cli", "health", "--json"]
    done = subprocess.run(
        command, cwd=ROOT, env=system.environment, capture_output=True, check=False, timeout=START_SECONDS
    )
    assert done.stdout, done.stderr.decode()
    return done.returncode, json.loads(done.stdout)


def becomes(system, verdict):
    """The health, once its verdict is this one; the exit code goes with it."""

    def asked():
        code, found = health(system)
        assert code == (0 if found["verdict"] == "OK" else 1)
        return found if found["verdict"] == verdict else None

    return system.wait_until(asked, f"health is {verdict}", START_SECONDS)


def test_what_a_provider_does_to_an_order_is_its_cause(system):
    for make, causes in ((nebulox_order, NEBULOX), (zeroxhost_order, ZEROXHOST)):
        for cause, marker in causes.items():
            order_id = f"{cause}{marker}"
            system.order(make(order_id))
            assert says(system, order_id, cause)["text"].endswith(".")


def test_a_lost_answer_is_in_doubt_and_an_order_that_can_t_be_one_is_rejected(system):
    system.order(nebulox_order("doubt~fault:accept_then_timeout*99~"), nebulox_order("bad", price="-1"))
    assert says(system, "bad", "rejected_message")["text"].startswith("The message was rejected (price: ")
    assert says(system, "doubt~fault:accept_then_timeout*99~", "in_doubt")["next_at"]
    assert says(system, "never-sent", "unknown_order")["command"] is None


def test_a_receiver_that_fails_is_told_and_health_is_well_again_once_it_takes_all(system):
    endpoint = system.add_receiver()
    becomes(system, "OK")
    system.ask(f"{system.sandbox.receiver_url(RECEIVER)}/faults", {"status": 500, "times": None})
    system.order(nebulox_order("W-1"))
    found = says(system, "W-1", "webhook_waits")
    assert endpoint in found["text"]
    (late,) = becomes(system, "DEGRADED")["causes"]
    assert (late["cause"], late["count"]) == ("webhook_waits", 1)
    system.ask(f"{system.sandbox.receiver_url(RECEIVER)}/faults", method="DELETE")
    for words in (("disable", endpoint, "--reason", "a test"), ("enable", endpoint)):  # then what waits is due at once
        command = [sys.executable, "-m", "workers.cli", "endpoints", *words]
        subprocess.run(command, cwd=ROOT, env=system.environment, timeout=START_SECONDS, check=True)
    system.wait_until_told()
    assert becomes(system, "OK")["causes"] == []


def test_without_a_worker_orders_wait_and_the_whole_stands_still_until_one_comes(system):
    becomes(system, "OK")
    system.kill("worker")
    system.order(nebulox_order("L-1"))
    system.wait_for_statuses(queued=1)
    assert says(system, "L-1", "no_worker")["command"] == "invoices up"
    found = becomes(system, "STALLED")
    assert [(one["cause"], one["count"]) for one in found["causes"]] == [("no_worker", 1)]
    assert found["parts"]["processes"]["worker"]["running"] == 0
    system.start("worker")
    says(system, "L-1", "cannot_be_asked")
    becomes(system, "OK")
