"""How a bounded pool is shared: nobody takes it all, and the slow and the unknown leave room for the quick."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.http import shares
from workers.http.shares import SLOW_SECONDS, Pace, Shares

LIMITS = st.integers(1, 1024)
QUICK, SLOW = SLOW_SECONDS / 100, SLOW_SECONDS * 14


def take_all(pool, user, most=10_000):
    """What a user gets that takes one after the other for as long as it may."""
    count = 0
    while count < most and pool.room(user) > 0:
        pool.take(user)
        count += 1
    return count


def known(pool, name, seconds):
    pool.note(name, seconds)
    return name


@given(LIMITS, st.lists(st.tuples(st.sampled_from("abcdef"), st.sampled_from(["take", "give", QUICK, SLOW]))))
def test_never_more_is_in_use_than_there_is_and_the_books_are_right(limit, steps) -> None:
    held: Counter[str] = Counter()
    pool = Shares(limit)
    for user, step in steps:
        if step == "take" and pool.room(user) > 0:
            pool.take(user)
            held[user] += 1
        elif step == "give" and held[user]:
            pool.give(user)
            held[user] -= 1
        elif isinstance(step, float):
            pool.note(user, step)
        assert pool.used == held.total() <= limit
        assert {user: pool.held(user) for user in held} == held
        assert 0 <= pool.room(user) <= limit - pool.used
        by_pace = Counter({pace: sum(n for user, n in held.items() if pool.pace(user) is pace) for pace in Pace})
        assert all(pool._used_by[pace] == by_pace[pace] for pace in Pace)


@given(LIMITS, st.sampled_from([None, QUICK, SLOW]))
def test_an_empty_pool_has_something_for_everybody(limit, seconds) -> None:
    pool = Shares(limit)
    if seconds is not None:
        pool.note("shop", seconds)
    assert pool.room("shop") >= 1


@given(st.integers(8, 1024), st.lists(st.booleans(), min_size=1, max_size=60))
def test_however_many_slow_and_unknown_users_take_all_they_can_a_quick_one_finds_its_share(limit, paces) -> None:
    pool = Shares(limit)
    for number, slow in enumerate(paces):
        user = f"bad {number}"
        if slow:
            pool.note(user, SLOW)
        take_all(pool, user)
    assert take_all(pool, known(pool, "good", QUICK)) >= 1
    assert pool.used <= limit


@given(st.integers(8, 1024), st.integers(1, 2000))
def test_slow_users_fill_only_their_part_whatever_their_number(limit, count) -> None:
    pool = Shares(limit, slow_part=0.25)
    for number in range(count):
        take_all(pool, known(pool, f"slow {number}", SLOW))
    assert pool.used <= limit / 4
    assert pool.room("new") >= 1
    assert pool.room(known(pool, "quick", QUICK)) >= 1


def test_fourteen_that_would_each_take_a_hundred_leave_a_newcomer_room_even_while_nobody_is_known() -> None:
    pool = Shares(1024)
    taken = [take_all(pool, f"slow {number}", most=100) for number in range(14)]
    assert min(take_all(pool, "good", most=50), *taken) >= 8
    for number in range(14):
        pool.note(f"slow {number}", SLOW)
        for _ in range(taken[number]):
            pool.give(f"slow {number}")
    again = [take_all(pool, f"slow {number}", most=100) for number in range(14)]
    assert max(again) <= 100
    assert sum(again) <= 768
    pool.note("good", QUICK)
    assert take_all(pool, "good", most=50) > 8


@given(st.integers(16, 1024), st.integers(1, 30))
def test_alike_users_get_nearly_alike_when_they_take_in_turns(limit, count) -> None:
    pool = Shares(limit)
    held: Counter[str] = Counter()
    while turn := [user for user in map(str, range(count)) if take_all(pool, user, most=1)]:
        held.update(turn)
    assert max(held.values()) - min(held.values()) <= 1


def test_one_alone_begins_with_a_few_and_may_have_most_once_it_is_known_to_be_quick() -> None:
    pool = Shares(1024)
    assert take_all(pool, "shop") == 8
    assert 500 <= 8 + take_all(pool, known(pool, "shop", QUICK)) < 1024
    pool = Shares(1024)
    assert 300 <= take_all(pool, known(pool, "shop", SLOW)) < 500


def test_what_room_promises_at_once_is_what_taking_one_by_one_gives() -> None:
    for limit in (1, 2, 10, 64, 1024):
        pool = Shares(limit)
        promised = pool.room("shop")
        assert take_all(pool, "shop") == promised


def test_one_slow_time_makes_a_user_slow_and_quick_ones_soften_that() -> None:
    pool = Shares(10)
    assert pool.pace("shop") is Pace.NEW
    pool.note("shop", QUICK)
    assert pool.pace("shop") is Pace.QUICK
    pool.note("shop", 4 * SLOW_SECONDS)
    assert pool.pace("shop") is Pace.SLOW
    for _ in range(3):
        pool.note("shop", 0.0)
    assert pool.pace("shop") is Pace.QUICK


def test_the_longest_unchanged_is_forgotten_and_counts_as_new_though_it_holds_something(monkeypatch) -> None:
    monkeypatch.setattr(shares, "KNOWN_USERS", 2)
    pool = Shares(10)
    pool.note("first", SLOW)
    pool.take("first")
    for user in ("second", "third"):
        pool.note(user, QUICK)
    assert pool.pace("first") is Pace.NEW
    pool.give("first")
    assert (pool.used, pool.room("first")) == (0, Shares(10).room("first"))


@pytest.mark.parametrize("limit", [1, 2, 3, 7])
def test_small_pools_work(limit) -> None:
    pool = Shares(limit)
    for seconds in (SLOW, QUICK):
        pool.note("shop", seconds)
        assert take_all(pool, "shop") >= 1
        while pool.held("shop"):
            pool.give("shop")
