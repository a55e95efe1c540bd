"""Coming in and going out in a real browser, and an admin who lets somebody in and puts them out."""

from __future__ import annotations

import re

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from domain.permissions import Role
from tests.console.browser.conftest import NARROW, PATIENCE_MS, WIDE, Site
from tests.console.browser.test_every_page_seen import OPTIONS, SIDEWAYS
from tests.console.doorstep import Doorstep
from tests.console.scene import OPERATOR
from tests.console.stand_in_issuer import CLIENT_ID, ISSUER, StandInIssuer
from workers.delivery.secretbox import SecretBox, new_key
from workers.store.operate.sessions import add_link
from workers.web.console.client import Client
from workers.web.console.entrance import IssuersWord
from workers.web.console.gate import Doors


@pytest.fixture
def doorstep(store):
    """All ways in: passwords, links, an issuer."""
    box, client = SecretBox([new_key()]), Client(ISSUER, CLIENT_ID, None, "roles")
    word = IssuersWord(client, lambda: box, None, StandInIssuer().transport)
    doorstep = Doorstep(store, Doors(is_public=False, issuer=client.host, takes_links=True), word=word)
    yield doorstep
    doorstep.close()


@pytest.fixture
def site(doorstep):
    """It listens."""
    site = Site(doorstep)
    yield site
    site.close()


@pytest.fixture
def come(chromium, site):
    """Opens a browser: its page."""
    contexts = []

    def open_browser(dark=False, viewport=None, scripts=True):
        scheme = "dark" if dark else "light"
        context = chromium.new_context(
            viewport=viewport or WIDE, color_scheme=scheme, java_script_enabled=scripts, base_url=site.url
        )
        context.set_default_timeout(PATIENCE_MS)
        contexts.append(context)
        return context.new_page()

    yield open_browser
    for context in contexts:
        context.close()


def fill_in(page, name, password):
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in").click()


def test_by_keys_alone_somebody_errs_signs_in_and_is_where_they_wanted_to_be(doorstep, come):
    password, page = doorstep.add("j.brandt", Role.OPERATOR), come()
    page.goto("/console/invoices?status=paid")
    expect(page.get_by_label("Name")).to_be_focused()
    page.keyboard.type("j.brandt")
    page.keyboard.press("Tab")
    page.keyboard.type("wrong")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("don't go together")
    expect(page.get_by_label("Name")).to_have_value("j.brandt")
    expect(page.get_by_label("Password")).to_be_focused()
    page.keyboard.type(password)
    page.keyboard.press("Enter")

    page.wait_for_url("**/console/invoices?status=paid")
    expect(page.get_by_text("j.brandt · operator")).to_be_visible()
    (cookie,) = [one for one in page.context.cookies() if one["name"] == "invoices-session"]
    assert (cookie["httpOnly"], cookie["sameSite"], cookie["secure"]) == (True, "Lax", False)
    assert page.evaluate("document.cookie") == ""


def test_whoever_signs_out_comes_back_to_no_page(doorstep, come):
    page = come()
    page.goto("/console/sign-in")
    fill_in(page, "j.brandt", doorstep.add("j.brandt"))
    page.goto("/console/invoices")
    page.get_by_text("j.brandt · viewer").click()
    page.get_by_role("button", name="Sign out").click()

    expect(page.get_by_role("status")).to_contain_text("You are signed out.")
    page.go_back()
    page.goto("/console/invoices")
    expect(page.get_by_role("heading", name="Sign in to invoices")).to_be_visible()


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "plain"])
def test_a_link_signs_in_by_its_button(doorstep, come, scripts):
    link, page = add_link(doorstep.store, OPERATOR)[0], come(scripts=scripts)
    page.goto(f"/console/link?key={link}")
    page.get_by_role("button", name="Sign in").click()

    page.wait_for_url("**/console/")
    expect(page.get_by_text("r.adeyemi · admin")).to_be_visible()


def test_the_language_is_chosen_before_anybody_has_signed_in(come):
    page = come()
    page.goto("/console/invoices")
    page.get_by_role("button", name="Deutsch").click()

    expect(page.get_by_role("heading", name="Bei invoices anmelden")).to_be_visible()
    assert "next=%2Fconsole%2Finvoices" in page.url


def test_an_admin_lets_somebody_in_and_puts_them_out(doorstep, come):
    admin, other = come(), come()
    admin.goto(f"/console/link?key={add_link(doorstep.store, OPERATOR)[0]}")
    admin.get_by_role("button", name="Sign in").click()
    admin.get_by_role("link", name="Users and tokens").click()
    admin.get_by_role("link", name="Add somebody").click()
    admin.get_by_label("Name, by which they sign in").fill("m.okafor")
    admin.get_by_role("radio", name=re.compile("finance")).check()
    admin.get_by_role("checkbox", name="nebulox").check()
    admin.get_by_label(re.compile("Reason")).fill("Closes the books")
    admin.get_by_role("button", name="Add them and show the password").click()
    expect(admin.get_by_role("heading", name="m.okafor can sign in")).to_be_visible()
    password = admin.locator(".secret .command code").inner_text()

    other.goto("/console/invoices")
    fill_in(other, "m.okafor", password)
    expect(other.get_by_text("m.okafor · finance")).to_be_visible()
    expect(other.get_by_role("link", name="Users and tokens")).to_have_count(0)

    admin.get_by_role("link", name="To the list").click()
    admin.get_by_role("link", name="m.okafor").click()
    admin.get_by_text("End the sessions", exact=True).click()
    form = admin.locator("form[action$='/end-sessions']")
    form.get_by_label(re.compile("Reason")).fill("Lost a laptop")
    form.get_by_role("button", name="End their sessions").click()
    expect(admin.get_by_role("status")).to_contain_text("Their sessions are ended")

    other.get_by_role("link", name="Deliveries").click()
    expect(other.get_by_role("heading", name="Sign in to invoices")).to_be_visible()
    fill_in(other, "m.okafor", password)
    other.wait_for_url("**/console/deliveries")


@pytest.mark.parametrize(
    ("dark", "viewport"), [(False, WIDE), (True, WIDE), (True, NARROW)], ids=["light", "dark", "phone"]
)
def test_axe_finds_nothing_at_the_doors_and_nothing_scrolls_sideways(doorstep, come, dark, viewport):
    page, link = come(dark=dark, viewport=viewport), add_link(doorstep.store, OPERATOR)[0]
    for path in (
        "/console/sign-in",
        "/console/sign-in?done=out",
        f"/console/link?key={link}",
        "/console/link?key=used",
        "/console/sign-in/oidc/back?state=x&code=y",
    ):
        page.goto(path)
        assert [one["id"] for one in Axe().run(page, options=OPTIONS).response["violations"]] == [], path
        assert page.evaluate(SIDEWAYS) <= 0, path
    page.goto("/console/sign-in")
    fill_in(page, "nobody", "x")
    expect(page.get_by_role("alert")).to_be_visible()
    assert [one["id"] for one in Axe().run(page, options=OPTIONS).response["violations"]] == []
