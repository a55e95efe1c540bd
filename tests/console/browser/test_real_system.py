"""People at browsers, real processes behind them: what is clicked is done by workers, told to shops, and kept."""

from __future__ import annotations

import itertools
import re

import pytest
from playwright.sync_api import expect

from tests.acceptance.system import System, running, zeroxhost_order
from tests.console.browser.conftest import PATIENCE_MS, WIDE


@pytest.fixture
def system(tmp_path):
    """All of the Procfile, with a shop's receiver."""
    with running(System(tmp_path), "intake", "worker", "beat", "web") as system:
        yield system


@pytest.fixture
def sign_in(chromium, system):
    """A browser of somebody with a role, who has signed in: its page."""
    contexts = []

    def come(role: str, *accounts: str, name: str = "", scripts: bool = True):
        name = name or role
        flags = [part for account in accounts for part in ("--account", account)]
        (added,) = system.command("users", "add", name, "--role", role, *flags, "--json")
        context = chromium.new_context(viewport=WIDE, base_url=system.web_url(), java_script_enabled=scripts)
        context.set_default_timeout(PATIENCE_MS)
        contexts.append(context)
        page = context.new_page()
        page.goto("/console/")
        page.get_by_label("Name").fill(name)
        page.get_by_label("Password").fill(added["password"])
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_url("**/console/**")
        expect(page.get_by_text(f"{name} · {role}")).to_be_visible()
        return page

    yield come
    for context in contexts:
        context.close()


def test_an_order_comes_in_and_is_paid_before_the_eyes_of_who_looks_at_the_list(system, sign_in):
    page = sign_in("viewer")
    page.goto("/console/invoices")
    expect(page.get_by_role("button", name="Live")).to_be_visible()

    system.order(zeroxhost_order("seen-live", "~pay:2~"))

    row = page.locator("[data-row]", has_text="seen-live")
    expect(row).to_contain_text("paid", timeout=PATIENCE_MS)
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    page.wait_for_url("**/console/invoices/inv_*")
    expect(page.locator("h1")).to_contain_text("seen-live")
    expect(page.locator("main")).to_contain_text("invoice.paid")


def test_an_operator_cancels_an_invoice_the_shop_is_told_and_the_audit_log_says_who_and_why(system, sign_in):
    page = sign_in("operator")
    system.order(zeroxhost_order("given-up"))
    page.goto("/console/invoices")
    page.get_by_role("link", name="given-up").click()
    expect(page.locator(".standing")).to_contain_text("pending")

    page.get_by_text("Cancel", exact=True).click()
    form = page.locator("form[action$='/cancel']")
    form.get_by_label(re.compile("Reason")).fill("The customer called")
    form.get_by_role("button", name="Cancel the invoice").click()

    expect(page.get_by_role("status")).to_contain_text("The invoice is cancelled.")
    expect(page.locator(".standing")).to_contain_text("cancelled")
    system.wait_until(lambda: system.received()["types"].get("invoice.cancelled") == 1, "the shop is told")
    (act,) = system.command("audit", "--json")[:1]
    assert (act["act"], act["by"], act["reason"]) == ("invoice.cancel", "operator", "The customer called")
    assert act["origin"].startswith("console 127.0.0.1")


def test_without_scripts_an_invoice_is_found_and_cancelled_all_the_same(system, sign_in):
    page = sign_in("operator", scripts=False)
    system.order(zeroxhost_order("plain-html"))
    system.wait_for_statuses("plain-html", pending=1)

    page.get_by_role("searchbox").fill("plain-html")
    page.get_by_role("searchbox").press("Enter")
    page.wait_for_url("**/console/invoices/inv_*")
    page.get_by_text("Cancel", exact=True).click()
    form = page.locator("form[action$='/cancel']")
    form.get_by_label(re.compile("Reason")).fill("No scripts here")
    form.get_by_role("button").click()

    system.wait_for_statuses("plain-html", cancelled=1)
    expect(page.locator(".standing")).to_contain_text("cancelled")


def test_a_viewer_s_pages_hold_no_form_that_changes_anything(system, sign_in):
    page = sign_in("viewer")
    system.order(zeroxhost_order("only-seen"))
    system.wait_for_statuses("only-seen", pending=1)
    (invoice,) = system.invoices("only-seen").values()
    (endpoint,) = system.rows("SELECT id FROM endpoint")

    for path in (f"invoices/{invoice['id']}", "invoices", "endpoints", f"endpoints/{endpoint['id']}", ""):
        page.goto(f"/console/{path}")
        actions = [form.get_attribute("action") for form in page.locator("form[method=post]").all()]
        assert set(actions) <= {"/console/sign-out"}, path


def test_who_is_limited_to_an_account_sees_only_its_invoices(system, sign_in):
    page = sign_in("operator", "nebulox", name="limited")
    system.order(zeroxhost_order("of-the-other"))
    system.wait_for_statuses("of-the-other", pending=1)
    (invoice,) = system.invoices("of-the-other").values()

    page.goto("/console/invoices")
    expect(page.locator("main")).not_to_contain_text("of-the-other")
    answered = page.goto(f"/console/invoices/{invoice['id']}")

    assert answered is not None
    assert answered.status == 404


def test_whose_sessions_are_ended_has_to_sign_in_again(system, sign_in):
    page = sign_in("admin")
    page.goto("/console/invoices")

    system.command("users", "end-sessions", "admin", "--json")
    page.reload()

    page.wait_for_url("**/console/sign-in**")


def test_an_endpoint_is_disabled_and_enabled_again_and_then_has_all_that_happened_meanwhile(system, sign_in):
    page = sign_in("operator")
    (endpoint,) = system.rows("SELECT id FROM endpoint")
    page.goto(f"/console/endpoints/{endpoint['id']}")
    page.get_by_text("Disable", exact=True).click()
    form = page.locator("form[action$='/disable']")
    form.get_by_label(re.compile("Reason")).fill("Moving house")
    form.get_by_role("button", name="Disable it").click()
    expect(page.get_by_role("status")).to_contain_text("disabled")

    numbers = itertools.count()

    def is_told_nothing():
        """Workers look at endpoints once a second: what is paid right now may still be told."""
        before, name = system.received()["unique"], f"meanwhile-{next(numbers)}"
        system.order(zeroxhost_order(name, "~pay:0.5~"))
        system.wait_for_statuses(name, paid=1)
        return system.received()["unique"] == before

    system.wait_until(is_told_nothing, "the shop is told nothing any more")
    page.goto(f"/console/endpoints/{endpoint['id']}")
    page.get_by_text("Enable", exact=True).click()
    form = page.locator("form[action$='/enable']")
    form.get_by_label(re.compile("Reason")).fill("Moved")
    form.get_by_role("button", name="Enable it").click()

    system.wait_until_told()
    system.check_told()


def test_an_endpoint_is_tested_and_is_sent_once_more_what_it_had(system, sign_in):
    page = sign_in("operator")
    system.order(zeroxhost_order("once-more", "~pay:0.5~"))
    system.wait_for_statuses("once-more", paid=1)
    system.wait_until_told()
    (endpoint,) = system.rows("SELECT id FROM endpoint")
    tries = "SELECT count(*) AS tries FROM delivery_attempt WHERE outcome = 'delivered'"
    (before,) = system.rows(tries)

    page.goto(f"/console/endpoints/{endpoint['id']}")
    page.get_by_role("button", name="Send a test").click()
    expect(page.locator("main [role=status]")).to_contain_text("The test was taken")
    page.get_by_label(re.compile("By type and time")).check()
    page.get_by_role("button", name="See what it would send").click()
    page.get_by_label(re.compile("Reason")).fill("They lost a day")
    page.get_by_role("button", name=re.compile("^Replay [0-9]+ events$")).click()

    page.wait_for_url("**/console/jobs/rpl_*")
    system.wait_until(lambda: system.rows(tries)[0]["tries"] == 2 * before["tries"], "all of it is sent once more")
    (act,) = system.command("audit", "--json")[:1]
    assert (act["act"], act["by"], act["reason"]) == ("events.replay", "operator", "They lost a day")
