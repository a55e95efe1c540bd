"""PostgreSQL's primary is killed under live load and its replica promoted; the old primary comes back.

With more load, and more ways to commit: `python -m tests.failover`.
"""

from __future__ import annotations

import pytest

from tests.acceptance.system import zeroxhost_order
from tests.engines import MissingEngineError
from tests.failover.drill import SECONDS, Plan, fail_over, old_primary_waits, rejoin, stage

pytestmark = [pytest.mark.engines, pytest.mark.drills, pytest.mark.timeout(900)]


@pytest.fixture
def staged(request, tmp_path):
    """(plan, stage)."""
    try:
        with stage(tmp_path, request.param) as staged:
            yield request.param, staged
    except MissingEngineError as error:
        pytest.skip(str(error))


SYNCHRONOUS = {
    "killed": Plan("on"),
    "cut off": Plan("on", is_cut_off=True),
    "killed, behind PgBouncer": Plan("on", is_pooled=True),
    "cut off, behind PgBouncer": Plan("on", is_cut_off=True, is_pooled=True),
}


@pytest.mark.parametrize("staged", SYNCHRONOUS.values(), indirect=True, ids=SYNCHRONOUS)
def test_with_a_synchronous_replica_nothing_is_lost_and_nothing_has_to_be_restarted(staged):
    plan, staged = staged
    pair, system = staged.pair, staged.system
    pids = {name: process.pid for name, process in system.processes.items()}
    figures = fail_over(staged, plan)
    print(figures)
    assert (figures.lost_orders, figures.told_of_lost, figures.rejected_messages) == (0, 0, 0)
    assert {name: process.pid for name, process in system.processes.items()} == pids
    system.check_history()
    system.check_told()
    assert_paid_once(system)

    if not plan.is_cut_off:
        pair.primary.start()
    assert pair.primary.is_primary()  # it takes writes, and stands first in the address
    assert old_primary_waits(pair)
    before = orders_on(pair.primary)
    system.restart("worker")
    system.order(*(zeroxhost_order(f"apart-{number}", "~pay:1~") for number in range(20)))
    system.wait_for_statuses("apart-", paid=20, seconds=SECONDS)
    assert orders_on(pair.primary) == before
    assert orders_on(pair.standby) == figures.orders + 20


@pytest.mark.parametrize("staged", [Plan("asynchronous")], indirect=True, ids=["asynchronous"])
def test_commits_that_an_asynchronous_replica_had_not_got_are_made_good_by_the_runbook(staged):
    plan, staged = staged
    system = staged.system
    figures = fail_over(staged, plan)
    print(figures)
    assert figures.restored is not None
    assert figures.restored["epoch"] == 1
    assert figures.lost_orders >= 1
    assert figures.told_of_lost >= 1
    assert figures.rejected_messages == 0
    system.check_history()
    assert system.received()["invalid"] == 0
    assert_paid_once(system)
    rejoin(staged)


def assert_paid_once(system):
    """Each invoice has one payment, and one event that tells of it."""
    assert system.rows("SELECT invoice_id FROM payment GROUP BY invoice_id HAVING count(*) > 1") == []
    paid = [told["invoice_id"] for told in system.events() if told["type"] == "invoice.paid"]
    assert len(paid) == len(set(paid)) == len(system.invoices())


def orders_on(node):
    ((count,),) = node.ask("SELECT count(*) FROM invoice")
    return count
