"""Whether a clock that anybody may set goes on as it should, and what becomes of what was planned by it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.decision import Stage
from domain.schedule import DELIVERY_DELAYS, delivery_wait, longest_wait, poll_wait
from domain.timekeeping import PATIENCE_SECONDS, TOLERANCE_SECONDS, Reading, assess_clock, deviation, moved

NOW = datetime(2026, 11, 21, 20, 19, tzinfo=UTC)
LEASE = timedelta(seconds=40)


def at(seconds: float, *, shown: float | None = None, took: float = 0.01) -> Reading:
    """A reading at some second, and the second that the clock showed."""
    return Reading(NOW + timedelta(seconds=seconds if shown is None else shown), seconds, seconds + took)


def ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


@given(st.floats(0, 1e6), st.floats(0, 60), st.floats(0, 60), st.floats(0, 1), st.floats(0, 1))
def test_a_clock_that_goes_right_is_never_found_wrong_however_long_answers_take(passed, first, second, one, other):
    before = Reading(NOW + timedelta(seconds=first * one), 0.0, first)
    after = Reading(NOW + timedelta(seconds=first + passed + second * other), first + passed, first + passed + second)

    assert abs(deviation(before, after)) < 1e-4


@given(st.floats(10, 1e6), st.floats(0, 2), st.sampled_from([1, -1]))
def test_a_step_is_found_less_what_the_answers_took(step, took, way):
    off = deviation(at(0, took=took), at(60, shown=60 + way * step, took=took))

    assert step - 2 * took - 0.001 <= way * off <= step + 0.001


def test_a_clock_behind_what_it_said_was_set_back_whoever_looks():
    verdict = assess_clock(NOW + timedelta(seconds=600), at(0), None, 0)

    assert (verdict.state, verdict.by_seconds) == ("stepped", -600)


def test_a_step_back_that_is_hidden_behind_an_outage_is_found_by_who_counted():
    verdict = assess_clock(ago(100), at(700, shown=0), at(0, shown=0), 0)

    assert verdict.state == "stepped"
    assert verdict.by_seconds == pytest.approx(-700, abs=0.1)


def test_a_clock_ahead_of_who_counted_was_set():
    verdict = assess_clock(ago(-1), at(2, shown=3602), at(1, shown=1), 0)

    assert verdict.state == "stepped"
    assert verdict.by_seconds == pytest.approx(3600, abs=0.1)


def test_who_was_suspended_unseen_believes_the_others():
    """A virtual machine that stood still counts too few seconds: somebody else has just found the clock right."""
    assert assess_clock(ago(-3600), at(2, shown=3602), at(1, shown=1), 0).state == "steady"


def test_an_outage_is_no_step():
    assert assess_clock(ago(-1), at(601), at(1), 0).state == "steady"


def test_who_starts_after_a_gap_waits_for_those_who_may_have_been_running():
    assert assess_clock(ago(600), at(0), None, 0).state == "unsure"
    assert assess_clock(ago(600), at(0), None, PATIENCE_SECONDS).state == "steady"
    assert assess_clock(None, at(0), None, 0).state == "steady"


@pytest.mark.parametrize("seconds", [0, 1, TOLERANCE_SECONDS / 2, -TOLERANCE_SECONDS / 2])
def test_little_is_no_step(seconds):
    assert assess_clock(NOW, at(1, shown=1 + seconds), at(0), 0).state == "steady"


# ---------------------------------------------------------------- what was planned


@pytest.mark.parametrize("stage", [Stage.CREATE, Stage.CHECK, Stage.DELIVER, Stage.RETAIN, Stage.PUBLISH])
@given(wait=st.floats(0, 90_000), step=st.floats(0, 1e7))
def test_no_wait_is_longer_than_it_was_to_be_nor_over_before_now(stage, wait, step):
    ahead = NOW + timedelta(seconds=step)
    due = moved(stage, ahead + timedelta(seconds=wait), leased=False, by=-timedelta(seconds=step), now=NOW, lease=LEASE)

    assert abs((due - NOW).total_seconds() - wait) < 0.001


def test_the_clocks_own_times_and_new_leases_stay():
    by, soon = timedelta(seconds=-600), NOW + timedelta(seconds=20)
    late = NOW + timedelta(seconds=620)

    assert moved(Stage.CLOCK, late, leased=False, by=by, now=NOW, lease=LEASE) == late
    assert moved(Stage.CREATE, soon, leased=True, by=by, now=NOW, lease=LEASE) == soon
    assert moved(Stage.CLOCK, late, leased=True, by=by, now=NOW, lease=LEASE) == soon
    assert moved(Stage.CHECK, soon, leased=False, by=by, now=NOW, lease=LEASE) == NOW
    assert moved(Stage.CHECK, ago(5), leased=False, by=by, now=NOW, lease=LEASE) == ago(5)


@given(st.integers(0, len(DELIVERY_DELAYS) - 1), st.floats(0, 1), st.floats(0, 1e9), st.floats(1, 86_400))
def test_every_wait_that_is_planned_is_a_plausible_one(tries, jitter, retry_after, poll_seconds):
    wait = delivery_wait(tries, jitter, retry_after)
    webhooks, polls = longest_wait(Stage.DELIVER), longest_wait(Stage.CHECK, poll_seconds)

    assert wait is not None
    assert webhooks is not None
    assert polls is not None
    assert wait < webhooks
    assert poll_wait(poll_seconds, 1000, jitter) < polls
    assert longest_wait(Stage.CLOCK) is None
