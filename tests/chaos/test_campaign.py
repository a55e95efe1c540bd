"""A crash campaign of about two minutes; `make chaos` runs it for as long as one likes."""

from __future__ import annotations

import pytest

from tests.chaos.campaign import run
from tests.chaos.hosts import MissingHostsError
from tests.chaos.plan import Plan
from tests.engines import MissingEngineError

SEED = 11


def test_a_seed_is_a_schedule():
    plan = Plan(SEED, 30.0, 20.0)
    again = Plan(SEED, 30.0, 20.0)
    assert plan.printed() == again.printed()
    assert plan.orders() == again.orders()
    assert {0, 1, 12} <= {order.lot for order in plan.orders()}  # by themselves, and in lists
    assert plan.printed() != Plan(SEED + 1, 30.0, 20.0).printed()


@pytest.mark.engines
@pytest.mark.timeout(900)
def test_orders_survive_kills_of_everything_at_any_point(tmp_path):
    try:
        result = run(Plan(SEED, 30.0, 20.0), tmp_path, lambda *_: None)
    except MissingEngineError as error:
        pytest.skip(str(error))
    print(f"\n{result.deaths.kills()} kills, {result.figures}")
    assert not result.findings, "\n".join(f"{found.promise}: {found.what}" for found in result.findings)
    assert result.deaths.kills() >= 12


@pytest.mark.engines
@pytest.mark.timeout(900)
def test_a_host_that_was_cut_off_for_longer_than_a_lease_overwrites_nothing(tmp_path):
    try:
        result = run(Plan(SEED, 55.0, 10.0, hosts=2), tmp_path, lambda *_: None)
    except (MissingEngineError, MissingHostsError) as error:
        pytest.skip(str(error))
    print(f"\n{result.deaths.kills()} kills, {result.faults}, {result.figures}")
    assert not result.findings, "\n".join(f"{found.promise}: {found.what}" for found in result.findings)
    assert result.faults["lived through a cut: worker2"] == 1
