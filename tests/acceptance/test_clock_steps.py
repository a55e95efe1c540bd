"""The clock of PostgreSQL is set while all processes run: nothing waits for it, and nobody is billed twice for it."""

from __future__ import annotations

import contextlib

import pytest

from tests.acceptance.facts import RECEIVER
from tests.acceptance.system import PATIENT, System, nebulox_order, running, zeroxhost_order
from tests.chaos.clock import MissingCompilerError
from tests.contracts.stepped_clock import stepped_postgres
from tests.engines import MissingEngineError, new_postgres_database

pytestmark = [pytest.mark.engines, pytest.mark.timeout(900)]

ACCOUNTS = {"nebulox": PATIENT, "zeroxhost": {**PATIENT, "poll_seconds": 1.0}}
ORDERS = 20


@pytest.fixture
def stepped(tmp_path):
    """A system with two workers on a PostgreSQL, and the clock of that."""
    with contextlib.ExitStack() as stack:
        try:
            server, clock = stack.enter_context(stepped_postgres())
        except (MissingCompilerError, MissingEngineError) as error:
            pytest.skip(str(error))
        url = stack.enter_context(new_postgres_database(server))
        system = System(tmp_path, database_url=url, accounts=ACCOUNTS, lifetime_seconds=7200)
        yield stack.enter_context(running(system, "intake", "worker", "worker2")), clock


def logged(system, event):
    """Lines of all logs that tell of it."""
    return [line for line in system.log_lines() if f'"{event}"' in line]


def test_after_ten_minutes_ahead_and_right_again_everything_goes_on_at_once(stepped):
    system, clock = stepped
    system.order(nebulox_order("before", lifetime_minutes="120"))
    system.wait_for_statuses("before", pending=1)
    clock.set_ahead(600)
    system.wait_until(lambda: logged(system, "clock.stepped"), "the step ahead is seen")
    system.wait_until(lambda: logged(system, "clock.skew"), "the hosts are seen to be behind")
    refusing = {"status": 503, "times": 3}
    system.ask(f"{system.sandbox.receiver_url(RECEIVER)}/faults", refusing)
    system.order(*(zeroxhost_order(f"while-{number}") for number in range(3)))
    system.wait_for_statuses("while", pending=3)
    system.wait_until(lambda: system.rows("SELECT 1 FROM delivery_attempt WHERE outcome = 'failed'"), "a try failed")

    clock.set_ahead(0)
    system.order(*(nebulox_order(f"after-{number}", lifetime_minutes="120") for number in range(ORDERS)))
    system.wait_for_statuses("after", pending=ORDERS)
    for number in range(3):
        system.control("pay", {"provider": "zeroxhost", "order_id": f"while-{number}"})
    system.wait_for_statuses("while", paid=3)
    system.wait_until_told()

    steps = logged(system, "clock.stepped")
    assert len(steps) == 2, steps
    assert {row["status"] for row in system.invoices("before").values()} == {"pending"}, "nothing is expired early"
    assert max(system.creates().values()) == 1
    assert sum(row["doubts"] for row in system.invoices().values()) == 0
    system.check_history()
    system.check_told()
    assert system.errors() == []


def test_an_hour_ahead_in_the_middle_of_calls_makes_none_of_them_twice(stepped):
    system, clock = stepped
    system.control("faults", {"provider": "zeroxhost", "fault": "delay", "argument": 8.0, "times": ORDERS})
    system.order(*(zeroxhost_order(f"held-{number}") for number in range(ORDERS)))
    system.wait_for_calls("held", at_least=ORDERS)

    clock.set_ahead(3600)
    system.wait_for_statuses("held", pending=ORDERS)
    clock.set_ahead(0)
    system.wait_until(lambda: len(logged(system, "clock.stepped")) == 2, "both steps are seen")
    system.wait_until_told()

    assert max(system.creates("held").values()) == 1
    assert sum(row["doubts"] for row in system.invoices().values()) == 0
    assert system.errors() == []
