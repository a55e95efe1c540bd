"""Following the figure keeps the goal wherever any number of workers would, with few more workers than it takes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from domain.scaling import Bound, Load, Pool, Seen, Wanted, workers_wanted
from tests.scaling.follow import STALE_SECONDS, Autoscaler, judge
from tests.scaling.loads import SCENES

MINUTES = 240
#: The others take minutes.
QUICK = ("twice as much at once",)
MANY = Seen(running=100, finished_per_second=1000.0, commit_seconds=0.0)


def load(**changes):
    """A hundred orders a second at an account, each a call of two seconds."""
    return replace(Load("shop", 0, arrivals_per_second=100.0, call_seconds=2.0, core_seconds=0.001), **changes)


@pytest.mark.parametrize("scene", [scene for scene in SCENES if scene.name in QUICK], ids=lambda scene: scene.name)
def test_following_the_figure_keeps_the_goal_with_at_most_half_as_many_workers_again(scene):
    result = judge(scene, MINUTES, seed=1)
    assert result.keeps_goal, result
    assert result.is_thrifty, result


@pytest.mark.engines
@pytest.mark.parametrize("seed", [2, 3])
@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.name)
def test_so_it_does_with_every_load(scene, seed):
    result = judge(scene, 2 * MINUTES, seed)
    assert result.keeps_goal, result
    assert result.is_thrifty, result


def test_without_work_one_worker_is_wanted():
    assert workers_wanted([], {}, Seen(0, 0.0, 0.0)) == Wanted(1, Bound.WORKERS)
    assert workers_wanted([], {}, Seen(1, 0.0, 0.0)) == Wanted(1, Bound.NONE)


def test_slots_are_planned_for_at_four_fifths():
    pools = {"shop": Pool(slots_per_worker=50)}
    assert workers_wanted([load()], pools, MANY) == Wanted(5, Bound.NONE)  # 100/s * 2 s / 50 / 0.8


def test_stages_of_an_account_share_its_slots_and_others_have_their_own():
    pools = {"shop": Pool(50), "other": Pool(50)}
    assert workers_wanted([load(), load()], pools, MANY).workers == 10
    assert workers_wanted([load(), load(pool="other")], pools, MANY).workers == 5


def test_cores_add_up_over_all_accounts():
    pools = {"shop": Pool(10_000), "other": Pool(10_000)}
    loads = [load(core_seconds=0.02), load(pool="other", core_seconds=0.02)]
    assert workers_wanted(loads, pools, MANY).workers == 5  # 200/s * 20 ms / 0.8
    assert workers_wanted(loads, pools, Seen(4, 200.0, 0.0)) == Wanted(5, Bound.WORKERS)


def test_what_is_due_asks_for_a_fifth_more_at_most():
    pools = {"shop": Pool(50)}
    assert workers_wanted([load(due=200)], pools, MANY).workers == 6  # ten a second more
    assert workers_wanted([load(due=5_000)], pools, MANY).workers == 6  # 120 a second
    assert workers_wanted([load(due=1_000_000)], pools, MANY).workers > 100  # within five minutes all the same


def test_a_rate_bounds_the_figure_and_is_named():
    pools = {"shop": Pool(50, rate_per_second=20)}
    assert workers_wanted([load(due=5_000)], pools, MANY) == Wanted(1, Bound.PROVIDER_RATE)


def test_a_stage_s_own_rate_bounds_its_part():
    loads = [load(rate_per_second=10.0), load(arrivals_per_second=40.0)]
    assert workers_wanted(loads, {"shop": Pool(50)}, MANY) == Wanted(3, Bound.PROVIDER_RATE)  # 50/s of the 140


def test_slots_that_are_too_few_are_told_apart_from_cores():
    assert workers_wanted([load()], {"shop": Pool(50)}, Seen(4, 100.0, 0.0)) == Wanted(5, Bound.PROVIDER_SLOTS)


def test_where_commits_wait_no_more_is_planned_for_than_the_database_takes():
    pools = {"shop": Pool(50)}
    slow = Seen(running=3, finished_per_second=50.0, commit_seconds=0.5)
    assert workers_wanted([load(due=900)], pools, slow) == Wanted(3, Bound.DATABASE)  # 55/s * 2 s / 50 / 0.8


def test_more_than_half_as_many_again_are_not_wanted_at_once():
    pools = {"shop": Pool(1)}
    assert workers_wanted([load()], pools, Seen(10, 5.0, 0.0)).workers == 15
    assert workers_wanted([load()], pools, Seen(1, 0.5, 0.0)).workers == 2
    assert workers_wanted([load()], pools, Seen(0, 0.0, 0.0)).workers == 1


def test_a_load_of_an_unknown_pool_is_a_mistake():
    with pytest.raises(KeyError):
        workers_wanted([load()], {}, MANY)


def test_the_autoscaler_goes_up_after_a_start_and_down_after_the_calm_time():
    scaler = Autoscaler(running=2)
    scaler.look(0.0, 4)
    scaler.advance(19.5)
    assert scaler.running == 2
    scaler.advance(20.0)
    assert scaler.running == 4
    scaler.look(290.0, 2)
    assert scaler.running == 4
    scaler.look(315.0 + STALE_SECONDS, 2)
    assert scaler.running == 2
