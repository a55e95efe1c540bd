"""The chart of an endpoint's tries."""

from __future__ import annotations

from datetime import timedelta

from tests.contracts.store_cases import utc
from workers.web.console.bars import HEIGHT, TOP, bars_of

NOW = utc(2026, 11, 29, 20, 36, 12)


def test_delivered_ones_stand_above_the_line_and_failed_ones_hang_below_it():
    tries = [(NOW - timedelta(minutes=1), True)] * 3 + [(NOW - timedelta(minutes=1), False)]
    drawn = bars_of(tries, NOW)

    last = drawn.bars[-1]
    assert (last.begins, last.delivered, last.failed) == (utc(2026, 11, 29, 20, 35), 3, 1)
    assert last.up == (TOP, 93.0)
    assert last.down == (TOP + 93, 31.0)
    assert sum(last.up) == drawn.zero == last.down[0]
    assert drawn.lines == [(TOP, 3), (drawn.zero, 0), (TOP + HEIGHT, 1)]


def test_without_a_failure_the_bars_have_the_whole_height_and_what_is_older_is_left_out():
    tries = [(NOW - timedelta(hours=5), False), (NOW - timedelta(minutes=7), True), (NOW + timedelta(hours=1), True)]
    drawn = bars_of(tries, NOW)

    assert (drawn.delivered, drawn.failed) == (1, 0)
    assert drawn.zero == TOP + HEIGHT
    assert len(drawn.bars) == 48
    assert [begins.minute for _, begins in drawn.hours] == [40, 40, 40, 40]


def test_without_any_try_there_is_a_line():
    assert bars_of([], NOW).lines == [(TOP, 1), (TOP + HEIGHT, 0)]
