"""Failed sign-ins are limited, and nothing else is; by requests. The counting itself: tests/contracts."""

from __future__ import annotations

import asyncio
import threading

from tests.console.doorstep import Doorstep
from tests.contracts.store_cases import rows
from workers.store.tables import ATTEMPTED


def test_the_sixth_failed_one_is_told_when_the_next_may_come_though_its_password_is_right(doorstep):
    browser, password = doorstep.browser(), doorstep.add("j.brandt")
    failed = [browser.sign_in("j.brandt", "wrong").status_code for _ in range(5)]
    limited = browser.sign_in("j.brandt", password)

    assert failed == [401] * 5
    assert limited.status_code == 429
    assert 1 <= int(limited.headers["retry-after"]) <= 12
    assert "Too many failed sign-ins." in limited.text
    assert doorstep.browser(address="10.0.0.9").sign_in("other", doorstep.add("other")).status_code == 303


def test_all_web_processes_count_together(doorstep):
    """Five of a name, whichever of them is asked."""
    password, beside = doorstep.add("j.brandt"), Doorstep(doorstep.store)
    for number in range(5):
        one = (doorstep, beside)[number % 2]
        assert one.browser(address=f"10.0.0.{number}").sign_in("j.brandt", "wrong").status_code == 401

    answers = [one.browser(address="10.0.9.9").sign_in("j.brandt", password) for one in (doorstep, beside)]
    beside.close()

    assert [answer.status_code for answer in answers] == [429, 429]


def test_what_was_typed_as_a_name_is_kept_by_nobody(doorstep):
    doorstep.browser().sign_in("hunter2-my-password", "j.brandt")

    assert "hunter2" not in str(rows(doorstep.store.database, ATTEMPTED))


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
