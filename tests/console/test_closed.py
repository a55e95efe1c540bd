"""On an address that other hosts reach, without anybody who can sign in."""

from __future__ import annotations

import pytest

from domain.permissions import Role
from tests.console.doorstep import PUBLIC, Doorstep
from tests.console.scene import OPERATOR
from workers.store.operate.people import remove
from workers.web.console import gate
from workers.web.console.gate import Doors


@pytest.fixture
def doorstep(store, monkeypatch):
    """It looks for people with each request."""
    monkeypatch.setattr(gate, "CLOSED_SECONDS", 0.0)
    monkeypatch.setattr(gate, "OPEN_SECONDS", 0.0)
    doorstep = Doorstep(store, Doors(is_public=True))
    yield doorstep
    doorstep.close()


@pytest.mark.parametrize("path", ["/console/", "/console/invoices", "/console/sign-in", "/console/nothing"])
def test_the_console_is_closed_and_says_why(doorstep, path):
    answered = doorstep.browser(PUBLIC).get(path)

    assert answered.status_code == 503
    assert "The console is closed here" in answered.text
    assert "invoices users add" in answered.text


def test_the_bare_host_leads_to_the_console(doorstep):
    answered = doorstep.browser(PUBLIC).get("/")

    assert (answered.status_code, answered.headers["location"]) == (307, "/console/")


def test_forms_do_nothing_then(doorstep):
    assert doorstep.browser(PUBLIC).sign_in("j.brandt", "x").status_code == 503
    assert doorstep.browser(PUBLIC).get("/console/language", params={"language": "de"}).status_code == 503


def test_what_else_the_process_serves_goes_on(doorstep):
    assert doorstep.browser(PUBLIC).get("/health/live").status_code == 200


def test_it_opens_with_the_first_person_and_closes_after_the_last(doorstep):
    password = doorstep.add("j.brandt", Role.ADMIN)
    browser = doorstep.browser(PUBLIC)
    assert browser.sign_in("j.brandt", password).status_code == 303
    assert browser.is_signed_in()

    remove(doorstep.store, OPERATOR, "j.brandt")
    assert browser.get("/console/invoices").status_code == 503


@pytest.mark.parametrize(
    "doors", [Doors(is_public=False), Doors(is_public=True, issuer="id.example"), Doors(is_public=False, issuer="x")]
)
def test_with_an_issuer_or_on_loopback_it_is_open(store, doors):
    doorstep = Doorstep(store, doors)

    assert doorstep.browser(PUBLIC).get("/console/sign-in").status_code == 200
    doorstep.close()
