"""What arrives is what was worked on and what more is due; what workers report says how long each row takes."""

from __future__ import annotations

import json

import pytest

from domain.account import Account
from domain.decision import Stage
from domain.demand import Demand, demand_of
from domain.scaling import Bound, Pool
from domain.work_report import ROWS, WEBHOOKS, Report, Worked, read_report, write_report
from workers.telemetry.tally import WorkTally

CREATES = (Stage.CREATE, "shop")


def report(rows_per_second=0.0, call_seconds=2.0, **changes):
    """A worker's minute of creates."""
    usual = {"seconds": 60.0, "core_seconds": 0.6, "results": 600, "commits": 60, "commit_seconds": 0.6}
    return Report(**(usual | changes), work={CREATES: Worked(rows_per_second, call_seconds)})


@pytest.fixture
def demand():
    return Demand({"shop": Pool(50), WEBHOOKS: Pool(100)}, {})


def test_without_anything_one_worker_is_wanted(demand):
    assert demand.look(0.0, {}, 1, []).workers == 1


def test_what_is_worked_on_and_does_not_pile_up_arrives(demand):
    for second in range(0, 60, 10):
        wanted = demand.look(second, {CREATES: 0}, 10, [report(50.0), report(50.0)])
    assert wanted.workers == 6  # 100/s * 2.01 s / 50 / 0.8


def test_what_piles_up_arrives_too_though_nobody_works(demand):
    for second in range(0, 60, 10):
        wanted = demand.look(second, {CREATES: 100 * second}, 10, [])
    assert wanted.workers == 3  # 100/s, and 20/s of what is due, a second each until somebody has reported


def test_of_a_burst_the_busiest_ten_seconds_count_for_a_minute(demand):
    due = {0: 0, 10: 0, 20: 2000, 30: 0}
    figures = {
        second: demand.look(second, {CREATES: due.get(second, 0)}, 100, []).workers for second in range(0, 100, 10)
    }
    assert figures[10] == 1
    assert figures[30] == figures[80] == 5  # 200/s
    assert figures[90] == 1


def test_looks_that_come_soon_after_each_other_count_once(demand):
    demand.look(0.0, {CREATES: 0}, 100, [])
    assert demand.look(0.1, {CREATES: 500}, 100, []).workers == 1
    assert demand.look(10.0, {CREATES: 500}, 100, []).workers == 2  # 50/s, not 5,000


def test_a_removed_account_s_rows_ask_for_nobody(demand):
    demand.look(0.0, {(Stage.CREATE, "gone"): 0}, 1, [])
    assert demand.look(10.0, {(Stage.CREATE, "gone"): 9000}, 1, []).workers == 1


def test_rows_that_call_nobody_take_a_core_only(demand):
    part = (Stage.CLOCK, ROWS)
    demand.look(0.0, {part: 0}, 100, [])
    assert demand.look(10.0, {part: 10_000}, 100, []).workers == 3  # 1,250/s of 1.6 ms / 0.8


def test_an_account_s_settings_bound_it():
    account = Account(
        name="shop",
        provider="zeroxhost",
        base_url="http://127.0.0.1:1",
        api_key="k",
        max_in_flight=7,
        look_ups_per_second=2,
    )
    demand = demand_of({"shop": account}, webhook_slots=10)
    part = (Stage.CHECK, "shop")
    demand.look(0.0, {part: 0}, 1, [])
    assert demand.look(10.0, {part: 9000}, 1, []) == demand.look(11.0, {part: 9000}, 1, [])
    assert demand.look(12.0, {part: 9000}, 1, []).bound_by is Bound.PROVIDER_RATE


def test_commits_that_wait_are_the_database_s(demand):
    slow = report(20.0, commit_seconds=60.0)
    demand.look(0.0, {CREATES: 0}, 1, [slow])
    assert demand.look(10.0, {CREATES: 5000}, 1, [slow]).bound_by is Bound.DATABASE


def test_a_report_comes_back_as_it_was_written():
    assert read_report(write_report(report(12.5))) == report(12.5)
    resting = report(12.5, rests={"shop": 599.5})
    assert read_report(write_report(resting)) == resting


def test_a_report_of_the_release_before_says_of_no_account_that_it_rests():
    told = json.loads(write_report(report(12.5)))
    del told["rests"]
    assert read_report(json.dumps(told)) == report(12.5)


@pytest.mark.parametrize("text", ["", "[]", "{}", "7", '{"work": {"paint/shop": [1, 2]}}', write_report(report(-1.0))])
def test_a_report_of_another_kind_is_none(text):
    assert read_report(text) is None


def test_a_tally_tells_the_last_ten_seconds_rate_and_the_last_minute_s_mean():
    now = core = 0.0
    tally = WorkTally(lambda: now, lambda: core)
    for second in range(4, 64, 4):
        now, core = float(second), second / 10
        tally.performed(Stage.CREATE, "shop", 1, 2.0)
        tally.performed(Stage.CHECK, "shop:near", 100, 5.0)
        tally.performed(Stage.DELIVER, "ep_1", 1, 0.5)
        tally.committed(Stage.CREATE, 1, 0, 0.01)
        tally.committed(Stage.CLOCK, 8, 0, 0.03)
        tally.committed(Stage.PUBLISH, 500, 0, 9.0)
        told = tally.report()
    assert told.work[CREATES] == Worked(3 / 12, 2.0)
    assert told.work[Stage.CHECK, "shop"] == Worked(300 / 12, 0.05)
    assert told.work[Stage.DELIVER, WEBHOOKS].call_seconds == 0.5
    assert told.work[Stage.CLOCK, ROWS] == Worked(24 / 12, 0.0)
    assert (told.seconds, told.results, told.commits) == (60.0, 135, 30)
    assert told.core_seconds == pytest.approx(6.0)
    assert told.commit_seconds == pytest.approx(0.6)


def test_a_tally_forgets_what_is_over_a_minute_ago():
    now = 0.0
    tally = WorkTally(lambda: now, lambda: 0.0)
    tally.performed(Stage.CREATE, "shop", 1, 2.0)
    for second in range(4, 72, 4):
        now = float(second)
        told = tally.report()
    assert told.work == {}
    assert told.results == 0


def test_after_a_restart_what_workers_do_is_known_at_the_first_look(demand):
    assert demand.look(0.0, {CREATES: 300}, 10, [report(100.0)]).workers == 6  # 100/s, and 15/s of what is due


def test_a_window_in_which_a_backlog_is_worked_off_does_not_say_what_arrives(demand):
    for second, due, done in ((0, 0, 100), (10, 1000, 100), (20, 2000, 100), (30, 1500, 300), (40, 0, 300)):
        wanted = demand.look(second, {CREATES: due}, 100, [report(float(done))])
    assert wanted.workers == 11  # 200/s, not the 250 of the window from 20 to 30
