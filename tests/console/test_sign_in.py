"""Signing in with a password, and out: by requests, with the cookies that a browser keeps."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import update
from sqlalchemy.exc import OperationalError

from domain.permissions import Role
from tests.console.doorstep import PUBLIC, SITE, Doorstep
from tests.console.scene import OPERATOR
from tests.contracts.store_cases import rows
from workers.store.operate.people import NewPerson, change_password, change_role, end_sessions, remove
from workers.store.passwords import NOBODYS
from workers.store.people import IDLE
from workers.store.reads.acts import list_acts
from workers.store.tables import SESSION


def test_whoever_gives_the_right_password_goes_where_they_wanted_to(doorstep):
    browser, password = doorstep.browser(), doorstep.add("j.brandt", Role.OPERATOR)
    wanted = browser.get("/console/invoices?status=paid").headers["location"]
    form = browser.get(wanted)

    signed_in = browser.sign_in("j.brandt", password, next="/console/invoices?status=paid")

    assert wanted.startswith("/console/sign-in?next=")
    assert 'value="/console/invoices?status=paid"' in form.text
    assert (signed_in.status_code, signed_in.headers["location"]) == (303, "/console/invoices?status=paid")
    shown = browser.get("/console/invoices")
    assert shown.status_code == 200
    assert "j.brandt · operator" in shown.text
    assert browser.get("/console/sign-in").status_code == 303


def test_a_failed_one_says_nothing_about_which_was_wrong(doorstep):
    password = doorstep.add("j.brandt")
    wrong = doorstep.browser().sign_in("j.brandt", password + "x")
    unknown = doorstep.browser().sign_in("nobody.here", password)

    assert (wrong.status_code, unknown.status_code) == (401, 401)
    assert wrong.text.replace("j.brandt", "") == unknown.text.replace("nobody.here", "")
    assert "set-cookie" not in wrong.headers
    assert password not in wrong.text


@pytest.mark.parametrize("name", ["J.Brandt", " j.brandt ", "\uff4a.brandt"])
def test_a_name_is_known_in_any_case_and_form(doorstep, name):
    assert doorstep.browser().sign_in(name, doorstep.add("j.brandt")).status_code == 303


def test_the_cookie_on_loopback_is_for_this_host_and_no_script(doorstep):
    cookie = doorstep.browser(SITE).sign_in("j.brandt", doorstep.add("j.brandt")).headers["set-cookie"]

    assert cookie.startswith("invoices-session=")
    assert cookie.partition("; ")[2].lower() == "httponly; path=/; samesite=lax"


def test_the_cookie_on_https_is_bound_to_the_host(doorstep):
    browser = doorstep.browser(PUBLIC)
    cookie = browser.sign_in("j.brandt", doorstep.add("j.brandt")).headers["set-cookie"]

    assert cookie.startswith("__Host-invoices-session=")
    assert cookie.partition("; ")[2].lower() == "httponly; path=/; samesite=lax; secure"
    assert browser.is_signed_in()


def test_over_plain_http_from_elsewhere_nobody_signs_in(doorstep):
    browser, password = doorstep.browser("http://pay.example"), doorstep.add("j.brandt")
    origin = {"origin": "http://pay.example"}
    refused = browser.post("/console/sign-in", {"name": "j.brandt", "password": password}, headers=origin)

    assert refused.status_code == 400
    assert "over https only" in refused.text


def test_signing_out_ends_the_session_wherever_its_cookie_is(doorstep):
    browser, other = doorstep.signed_in("j.brandt"), doorstep.browser()
    other.cookies.update(browser.cookies)

    left = browser.post("/console/sign-out")

    assert (left.status_code, left.headers["location"]) == (303, "/console/sign-in?done=out")
    assert not other.is_signed_in()
    assert "You are signed out." in browser.get("/console/sign-in?done=out").text


@pytest.mark.parametrize(
    "change",
    [
        lambda store: change_role(store, OPERATOR, NewPerson("j.brandt", Role.VIEWER)),
        lambda store: change_password(store, OPERATOR, "j.brandt"),
        lambda store: remove(store, OPERATOR, "j.brandt"),
        lambda store: end_sessions(store, OPERATOR, "J.Brandt"),
    ],
    ids=["role", "password", "remove", "end-sessions"],
)
def test_whoever_is_changed_is_signed_out_with_the_next_request(doorstep, change):
    browser, other = doorstep.signed_in("j.brandt", Role.ADMIN), doorstep.signed_in("other")
    assert browser.is_signed_in()

    change(doorstep.store)

    assert not browser.is_signed_in()
    assert other.is_signed_in()


def test_a_session_is_known_to_every_web_process(doorstep):
    browser = doorstep.signed_in("j.brandt")
    beside = Doorstep(doorstep.store)
    other = beside.browser()
    other.cookies.update(browser.cookies)

    assert other.is_signed_in()
    other.post("/console/sign-out")
    assert not browser.is_signed_in()
    beside.close()


def test_each_sign_in_has_a_new_secret_and_ends_the_browsers_former_session(doorstep):
    browser, password = doorstep.browser(), doorstep.add("j.brandt")
    browser.sign_in("j.brandt", password)
    first = dict(browser.cookies)
    browser.sign_in("j.brandt", password)

    assert dict(browser.cookies) != first
    assert len(rows(doorstep.store.database, SESSION)) == 1


def test_a_secret_that_somebody_planted_is_never_a_session(doorstep):
    """Session fixation: what a browser brings before the sign-in counts for nothing after it."""
    browser, password = doorstep.browser(), doorstep.add("j.brandt")
    planted = "planted-by-an-attacker-0123456789"
    browser.cookies.set("invoices-session", planted, domain="127.0.0.1", path="/")
    assert browser.sign_in("j.brandt", password).status_code == 303

    attacker = doorstep.browser()
    attacker.cookies.set("invoices-session", planted, domain="127.0.0.1", path="/")
    assert not attacker.is_signed_in()


def test_only_a_hash_of_the_secret_is_kept(doorstep):
    browser = doorstep.signed_in("j.brandt")
    secret = browser.cookies["invoices-session"]

    assert secret not in str(rows(doorstep.store.database, SESSION))


def test_signing_in_and_out_are_in_the_audit_log(doorstep):
    browser = doorstep.signed_in("j.brandt", address="10.4.2.17")
    browser.post("/console/sign-out")

    acts = [(act.act, act.by, act.origin) for act in list_acts(doorstep.store.database)]
    origin = "console 10.4.2.17"
    assert acts[:2] == [("person.sign_out", "j.brandt", origin), ("person.sign_in", "j.brandt", origin)]


def test_an_unknown_name_takes_the_same_work(doorstep, monkeypatch):
    checked = []
    monkeypatch.setattr("workers.web.console.sign_in.is_password", lambda kept, given: checked.append((kept, given)))
    doorstep.add("j.brandt")
    for name in ("nobody", "j.brandt", "", "x" * 200):
        assert doorstep.browser().sign_in(name, "guess").status_code == 401

    kept = [one for one, _ in checked]
    assert (kept[0], kept[2], kept[3]) == (NOBODYS, NOBODYS, NOBODYS)
    assert kept[1] != NOBODYS
    assert {given for _, given in checked} == {"guess"}


def test_a_database_that_is_away_is_nobodys_failed_sign_in(doorstep, monkeypatch):
    password, browser = doorstep.add("j.brandt"), doorstep.browser()

    def away(*_, **__):
        raise OperationalError("SELECT", {}, Exception("away"))

    with monkeypatch.context() as broken:
        broken.setattr("workers.web.console.sign_in.find_user", away)
        statuses = {browser.sign_in("j.brandt", password).status_code for _ in range(10)}
    assert statuses == {503}
    assert browser.sign_in("j.brandt", password).status_code == 303


def test_pages_that_go_on_by_themselves_keep_nobody_signed_in(doorstep):
    browser, database = doorstep.signed_in("j.brandt"), doorstep.store.database
    with database.transaction() as connection:
        (row,) = connection.execute(SESSION.select()).all()
        long_ago = row.seen_at - timedelta(minutes=90)
        connection.execute(update(SESSION).values(seen_at=long_ago))

    assert browser.get("/console/live").status_code == 404  # of no page, by somebody who is signed in
    assert rows(database, SESSION)[0].seen_at == long_ago
    assert browser.is_signed_in()
    while rows(database, SESSION)[0].seen_at == long_ago:
        assert browser.get("/console/live").status_code == 404  # the note is written beside the answers
    with database.transaction() as connection:
        connection.execute(update(SESSION).values(seen_at=row.seen_at - IDLE))
    assert not browser.is_signed_in()
