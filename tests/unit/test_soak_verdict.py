"""`make soak`: what counts as flat."""

from __future__ import annotations

import math

import pytest

from tests.bench import soak_verdict
from tests.bench.soak_plot import plot
from tests.bench.soak_verdict import Series, judge_all

MINUTE = 60.0


def judge(series, given):
    verdict = soak_verdict.judge(series, given)
    assert verdict is not None
    return verdict


def points(value):
    return [(minute * MINUTE, float(value(minute))) for minute in range(30)]


@pytest.mark.parametrize(
    ("value", "flat"),
    [
        (lambda _: 100, True),
        (lambda minute: 100 + minute, False),  # 18 more between the fifths, 10 are allowed
        (lambda minute: 100 - minute, True),
        (lambda minute: 100 + 40 * (minute % 2), True),  # a sawtooth
        (lambda minute: 50 if minute < 6 else 100, True),  # the first fifth is for warming up
        (lambda minute: 1000 if minute == 29 else 100, True),  # one outlier is no growth
    ],
)
def test_flat_is_a_last_fifth_like_the_second(value, flat):
    assert judge(Series("rss", "memory", "MiB", 0.1, 0), points(value)).flat is flat


def test_the_floor_allows_for_small_figures():
    grown = points(lambda minute: 1 if minute < 15 else 4)
    assert judge(Series("files", "open files", "", 0.1, 0), grown).flat is False
    assert judge(Series("files", "open files", "", 0.1, 5), grown).flat is True


def test_the_slope_is_per_hour_and_leaves_the_first_fifth_out():
    verdict = judge(Series("rss", "memory", "MiB"), points(lambda minute: 900 if minute < 5 else minute))
    assert verdict.slope == pytest.approx(60)


def test_what_is_only_shown_has_no_verdict():
    verdict = judge(Series("live", "rows", "", judged=False), points(lambda minute: minute))
    assert verdict.flat is None
    assert verdict.word == "shown"


def test_too_few_points_are_no_verdict():
    assert soak_verdict.judge(Series("rss", "memory", "MiB"), points(lambda _: 1)[:9]) is None


def test_samples_may_lack_a_figure():
    samples = [{"seconds": at, "a": 1.0} for at, _ in points(lambda _: 1)]
    assert [one.series.key for one in judge_all([Series("a", "a", ""), Series("b", "b", "")], samples)] == ["a"]


def test_the_picture_holds_every_chart(tmp_path):
    samples = [{"seconds": at, "worker.rss": 130 + math.sin(at)} for at, _ in points(lambda _: 1)]
    plot(samples, [], tmp_path / "soak.svg")
    drawn = (tmp_path / "soak.svg").read_text()
    assert drawn.count("<g ") == 10
    assert "nan" not in drawn
