"""When a webhook is tried again, a create repeated, an invoice looked at."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.schedule import (
    CREATE_RETRY_SECONDS,
    DELIVERY_DELAYS,
    RETRY_AFTER_LIMIT,
    bounded_wait,
    delivery_wait,
    poll_wait,
    step,
)

NOW = datetime(2026, 11, 21, 20, 19, tzinfo=UTC)
jitters = st.floats(min_value=0, max_value=1)
tries = st.integers(min_value=0, max_value=len(DELIVERY_DELAYS) - 1)


def next_try_at(tries_made, now, jitter, retry_after_seconds=None):
    wait = delivery_wait(tries_made, jitter, retry_after_seconds)
    return None if wait is None else now + wait


def test_a_clock_that_is_moved_sees_twelve_tries_over_three_days() -> None:
    clock = NOW
    due: list[datetime] = []
    while (at := next_try_at(len(due), clock, jitter=0)) is not None:
        due.append(at)
        clock = at
    assert [b - a for a, b in pairwise(due)] == [
        timedelta(seconds=s) for s in (5, 30, 120, 600, 1800, 7200, 18000, 36000, 50400, 72000, 86400)
    ]
    assert len(due) == 12
    assert due[0] == NOW
    assert due[-1] - due[0] == timedelta(hours=75, minutes=42, seconds=35)


def test_after_the_last_try_there_is_none() -> None:
    assert next_try_at(12, NOW, 0, retry_after_seconds=60) is None
    assert next_try_at(13, NOW, 1) is None


@pytest.mark.parametrize(
    ("tries_made", "retry_after_seconds", "wait_seconds"),
    [
        (1, None, 5),
        (1, 3, 5),  # the header is earlier than the schedule
        (1, 120, 120),
        (1, 86_400, 86_400),
        (1, 10_000_000, 86_400),  # no receiver may postpone for longer than a day
        (1, float("inf"), 86_400),
        (11, 60, 86_400),
        (1, -5, 5),
        (1, 0, 5),
    ],
)
def test_retry_after_counts_only_when_it_is_later(tries_made, retry_after_seconds, wait_seconds) -> None:
    assert next_try_at(tries_made, NOW, 0, retry_after_seconds) == NOW + timedelta(seconds=wait_seconds)


@given(tries, jitters)
def test_jitter_is_never_early_and_never_more_than_a_fifth(tries_made, jitter) -> None:
    at = next_try_at(tries_made, NOW, jitter)
    assert at is not None
    assert DELIVERY_DELAYS[tries_made] <= at - NOW <= DELIVERY_DELAYS[tries_made] * 1.2


@given(tries, jitters, st.floats(min_value=0, allow_nan=False))
def test_retry_after_never_brings_a_try_forward_nor_beyond_its_limit(tries_made, jitter, retry_after) -> None:
    plain, asked = next_try_at(tries_made, NOW, jitter), next_try_at(tries_made, NOW, jitter, retry_after)
    assert plain is not None
    assert asked is not None
    assert plain <= asked <= max(plain, NOW + RETRY_AFTER_LIMIT)


@pytest.mark.parametrize(("tries_made", "jitter"), [(-1, 0), (0, -0.1), (0, 1.1), (0, float("nan"))])
def test_nonsense_is_named(tries_made, jitter) -> None:
    with pytest.raises(ValueError, match=r"tries_made|jitter"):
        next_try_at(tries_made, NOW, jitter)


@pytest.mark.parametrize(
    ("tries", "wait"), [(-1, 1.0), (0, 1.0), (1, 1.0), (2, 2.0), (6, 60.0), (7, 60.0), (10**9, 60.0)]
)
def test_a_table_is_walked_and_its_last_entry_repeats(tries, wait) -> None:
    assert step(CREATE_RETRY_SECONDS, tries) == wait


def test_polls_slow_down_to_ten_times_their_pace_and_no_further() -> None:
    waits = [poll_wait(30, quiet, 0).total_seconds() for quiet in range(20)]
    assert waits[0] == 30
    assert waits == sorted(waits)
    assert waits[-1] == poll_wait(30, 10**9, 0).total_seconds() == 300


@given(st.floats(min_value=0.1, max_value=86_400), st.integers(min_value=0, max_value=10**6), jitters)
def test_a_poll_is_never_early_and_its_jitter_is_bounded(poll_seconds, quiet, jitter) -> None:
    plain, wait = poll_wait(poll_seconds, quiet, 0), poll_wait(poll_seconds, quiet, jitter)
    assert plain <= wait <= plain * 1.2 + timedelta(microseconds=1)


@given(st.none() | st.floats())
def test_whatever_retry_after_holds_it_is_a_wait_of_at_most_a_day(asked) -> None:
    assert 0 <= bounded_wait(asked) <= RETRY_AFTER_LIMIT.total_seconds()
