"""How many failed sign-ins there may be, with a clock of the test's own; and that nothing else is limited."""

from __future__ import annotations

import asyncio
import threading

import pytest

from tests.console.doorstep import Doorstep
from workers.web.console import attempts as module
from workers.web.console.attempts import Attempts


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def attempts(clock):
    return Attempts(clock)


def test_five_of_a_name_then_one_every_twelve_seconds_from_wherever(attempts, clock):
    assert [attempts.take("j", f"10.0.0.{number}") for number in range(5)] == [0.0] * 5
    assert attempts.take("j", "10.9.9.9") == pytest.approx(12)
    clock.now += 11
    assert attempts.take("j", "10.9.9.9") == pytest.approx(1)
    clock.now += 1
    assert attempts.take("j", "10.9.9.9") == 0
    assert attempts.take("other", "10.9.9.9") == 0


def test_twenty_of_an_address_then_one_every_three_seconds_whatever_the_names(attempts, clock):
    assert {attempts.take(f"name {number}", "10.0.0.1") for number in range(20)} == {0.0}
    assert attempts.take("another", "10.0.0.1") == pytest.approx(3)
    assert attempts.take("another", "10.0.0.2") == 0


def test_a_subscribers_ipv6_network_is_one_address(attempts):
    for number in range(20):
        attempts.take(f"name {number}", f"2001:db8:1:2::{number:x}")
    assert attempts.take("another", "2001:db8:1:2:ffff::1") > 0
    assert attempts.take("another", "2001:db8:1:3::1") == 0


def test_one_that_was_refused_for_its_number_costs_nothing(attempts, clock):
    for _ in range(100):
        attempts.take("j", "10.0.0.1")
    clock.now += 12
    assert attempts.take("j", "10.0.0.1") == 0


def test_nobody_elsewhere_locks_out_whoever_has_signed_in_from_here(attempts):
    attempts.take("j", "10.0.0.1")
    attempts.welcome("j", "10.0.0.1")
    for _ in range(10):
        attempts.take("j", "10.6.6.6")
    assert attempts.take("j", "10.6.6.6") > 0
    assert attempts.take("j", "10.0.0.1") == 0


def test_right_ones_are_not_counted(attempts):
    for _ in range(100):
        assert attempts.take("j", "10.0.0.1") == 0
        attempts.welcome("j", "10.0.0.1")


def test_the_counters_are_bounded(attempts, monkeypatch):
    monkeypatch.setattr(module, "MOST_KEPT", 50)
    for number in range(500):
        attempts.take(f"name {number}", f"10.0.{number // 250}.{number % 250}")
        attempts.welcome(f"name {number}", f"10.0.{number // 250}.{number % 250}")
    assert len(attempts._used) <= 50
    assert len(attempts._welcome) <= 50


def test_the_sixth_failed_one_is_told_when_the_next_may_come_though_its_password_is_right(doorstep):
    browser, password = doorstep.browser(), doorstep.add("j.brandt")
    failed = [browser.sign_in("j.brandt", "wrong").status_code for _ in range(5)]
    limited = browser.sign_in("j.brandt", password)

    assert failed == [401] * 5
    assert limited.status_code == 429
    assert 1 <= int(limited.headers["retry-after"]) <= 12
    assert "Too many failed sign-ins." in limited.text
    assert doorstep.browser(address="10.0.0.9").sign_in("other", doorstep.add("other")).status_code == 303


def test_any_number_of_right_ones_is_fine(doorstep, monkeypatch):
    monkeypatch.setattr("workers.web.console.sign_in.is_password", lambda _, password: password == "right")
    doorstep.add("j.brandt")

    assert {doorstep.browser().sign_in("j.brandt", "right").status_code for _ in range(60)} == {303}


def test_more_sign_ins_at_a_time_than_threads_can_hold_are_told_to_come_again(store, monkeypatch):
    doorstep, hold = Doorstep(store), threading.Event()
    monkeypatch.setattr("workers.web.console.sign_in.is_password", lambda *_: hold.wait(30) and False)

    async def flood():
        browsers = [doorstep.browser(address=f"10.0.0.{number}") for number in range(40)]
        posts = [
            asyncio.create_task(
                browser._client.post("/console/sign-in", data={"name": f"nobody {number}", "password": "x"})
            )
            for number, browser in enumerate(browsers)
        ]
        await asyncio.wait(posts, return_when=asyncio.FIRST_COMPLETED)
        page = await browsers[0]._client.get("/console/sign-in")
        hold.set()
        return page, [(await post) for post in posts]

    page, answers = doorstep.run(flood())
    doorstep.close()
    statuses = [answer.status_code for answer in answers]
    assert page.status_code == 200
    assert statuses.count(401) == 16
    busy = [answer for answer in answers if answer.status_code == 503]
    assert len(busy) == 24
    assert busy[0].headers["retry-after"]
    assert "Many people sign in" in busy[0].text
