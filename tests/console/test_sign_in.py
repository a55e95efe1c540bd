"""Signing in with a password, and out: by requests, with the cookies that a browser keeps."""

from __future__ import annotations

import pytest

from domain.permissions import Role
from tests.console.doorstep import PUBLIC, SITE, Doorstep
from tests.console.scene import OPERATOR
from tests.contracts.store_cases import rows
from workers.store.operate.people import NewPerson, change_password, change_role, end_sessions, remove
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
