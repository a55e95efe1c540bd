"""How many failed sign-ins there may be, on every database, with a clock of the test's own."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.contracts.store_cases import in_threads, rows, utc
from workers.store.operate.sign_in_attempts import Attempts
from workers.store.tables import ATTEMPTED


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.now = utc(2026, 11, 30)

    def __call__(self, connection):
        return self.now

    def move(self, **by: float) -> None:
        self.now += timedelta(**by)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def attempts(database, clock):
    return Attempts(database, clock)


def test_five_of_a_name_then_one_every_twelve_seconds_from_wherever(attempts, clock):
    assert [attempts.take("j", f"10.0.0.{number}") for number in range(5)] == [0.0] * 5
    assert attempts.take("j", "10.9.9.9") == 12
    clock.move(seconds=11)
    assert attempts.take("j", "10.9.9.9") == 1
    clock.move(seconds=1)
    assert attempts.take("j", "10.9.9.9") == 0
    assert attempts.take("other", "10.9.9.9") == 0


def test_twenty_of_an_address_then_one_every_three_seconds_whatever_the_names(attempts):
    assert {attempts.take(f"name {number}", "10.0.0.1") for number in range(20)} == {0.0}
    assert attempts.take("another", "10.0.0.1") == 3
    assert attempts.take("another", "10.0.0.2") == 0


def test_a_subscribers_ipv6_network_is_one_address(attempts):
    for number in range(20):
        attempts.take(f"name {number}", f"2001:db8:1:2::{number:x}")
    assert attempts.take("another", "2001:db8:1:2:ffff::1") > 0
    assert attempts.take("another", "2001:db8:1:3::1") == 0


def test_one_that_was_refused_for_its_number_costs_nothing(attempts, clock):
    for _ in range(30):
        attempts.take("j", "10.0.0.1")
    clock.move(seconds=12)
    assert attempts.take("j", "10.0.0.1") == 0


def test_nobody_elsewhere_locks_out_whoever_has_signed_in_from_here(attempts):
    attempts.take("j", "10.0.0.1")
    attempts.welcome("j", "10.0.0.1")
    for _ in range(10):
        attempts.take("j", "10.6.6.6")
    assert attempts.take("j", "10.6.6.6") > 0
    assert attempts.take("j", "10.0.0.1") == 0


def test_right_ones_are_not_counted(attempts):
    for _ in range(30):
        assert attempts.take("j", "10.0.0.1") == 0
        attempts.welcome("j", "10.0.0.1")


def test_of_an_address_alone_one_is_given_back_too(attempts):
    for _ in range(30):
        assert attempts.take(None, "10.0.0.1") == 0
        attempts.give_back(None, "10.0.0.1")
    assert {attempts.take(None, "10.0.0.1") for _ in range(20)} == {0.0}
    assert attempts.take(None, "10.0.0.1") > 0


def test_what_counts_no_more_is_removed(attempts, clock, database):
    for number in range(30):
        attempts.take(f"name {number}", f"10.0.0.{number}")
    clock.move(days=31)
    attempts.take("j", "10.1.1.1")

    assert len(rows(database, ATTEMPTED)) == 2


def test_as_many_at_the_same_time_find_no_gap(database, clock):
    processes = [Attempts(database, clock) for _ in range(4)]
    waits: list[float] = []

    def try_often(attempts):
        waits.extend(attempts.take("j", "10.0.0.1") for _ in range(4))

    in_threads(*(lambda one=one: try_often(one) for one in processes))

    assert sorted(waits)[:6] == [0.0] * 5 + [12.0]
