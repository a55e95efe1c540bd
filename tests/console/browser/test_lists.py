"""The list of invoices and acts on all of it, in a browser: filters by clicks and without scripts, a job that runs."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from tests.console.browser.conftest import NARROW, WIDE
from tests.console.scene import LONG_ORDER
from tests.contracts.store_cases import change, invoice_of, rows
from workers.store.tables import BULK, INVOICE
from workers.web.api.jobs import JobRunner

LIST = "/console/invoices"


def ended(scene, *statuses):
    """How many there are."""
    return len(rows(scene.database, INVOICE, INVOICE.c.status.in_(statuses)))


def test_filters_are_clicked_together_and_taken_away(person, scene):
    looking = person()
    page = looking.go(LIST)
    page.get_by_role("link", name="Ended without money").click()
    expect(page).to_have_url(re.compile(r"\?status=expired,failed,cancelled$"))
    expect(page.locator("tr[data-row]")).to_have_count(ended(scene, "expired", "failed", "cancelled"))

    page.locator("summary", has_text="Filter").click()
    page.get_by_label("failed").uncheck()
    page.get_by_label("Made since").fill("3h")
    page.get_by_role("button", name="Show these").click()
    expect(page).to_have_url(re.compile(r"\?status=expired,cancelled&since=3h$"))
    expect(page.locator("tr[data-row]")).to_have_count(ended(scene, "expired", "cancelled"))

    page.locator("a.chip", has_text="status").click()
    expect(page).to_have_url(re.compile(r"\?since=3h$"))
    assert looking.errors == []


def test_a_filter_is_put_together_without_scripts(person, scene):
    page = person(scripts=False).go(LIST)
    page.locator("summary", has_text="Filter").click()
    page.get_by_label("paid", exact=True).check()
    page.get_by_label("overpaid").check()
    page.get_by_role("button", name="Show these").click()

    expect(page).to_have_url(re.compile(r"\?status=paid&anomaly=overpaid$"))
    expect(page.locator("tr[data-row]")).to_have_count(1)


def test_the_box_leads_to_the_invoice_by_keys_alone(person, scene):
    looking = person()
    page = looking.go(LIST)
    page.keyboard.press("/")
    page.keyboard.type("dpkg-48225")
    page.keyboard.press("Enter")

    expect(page).to_have_url(re.compile(f"/console/invoices/{scene.ids['dpkg-48225']}$"))


def test_rows_are_walked_and_opened_by_keys(person, scene):
    page = person().go(f"{LIST}?status=failed,cancelled")
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("Enter")

    expect(page).to_have_url(re.compile(r"/console/invoices/inv_[0-9a-f]{32}$"))


@pytest.mark.parametrize("viewport", [WIDE, NARROW])
def test_the_longest_order_and_eighteen_decimals_fit(person, scene, viewport):
    page = person(viewport=viewport).go(f"{LIST}?q={LONG_ORDER}")

    row = page.locator("tr[data-row]")
    expect(row).to_have_count(1)
    expect(row).to_contain_text("0.012345678901234567")
    region = page.locator(".scroll").first
    assert region.evaluate("e => e.scrollWidth <= e.clientWidth")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert row.locator(".cut-end").first.inner_text() == LONG_ORDER[-6:]


def test_what_is_asked_of_all_that_match_is_carried_out_while_one_looks(person, scene):
    change(scene.database, BULK, BULK.c.id == scene.job, state="stopped")
    looking = person(role="operator")
    page = looking.go(f"{LIST}?status=queued")
    page.get_by_role("link", name="Act on everything that matches").click()
    page.get_by_role("link", name="Cancel", exact=True).click()
    page.get_by_label("Reason").fill("The sale is over")
    page.get_by_role("button", name="Cancel 2 invoices").click()

    expect(page.locator(".stat")).to_contain_text("0 of 2")
    expect(page.get_by_role("button", name="Live")).to_be_visible()
    JobRunner(scene.store).work()

    expect(page.locator(".stat")).to_contain_text("2 of 2")
    expect(page.locator(".stat")).to_contain_text("done")
    assert invoice_of(scene.database, scene.ids["dpkg-48230"]).status == "cancelled"
    assert looking.errors == []


def test_a_running_job_is_stopped_by_its_button(person, scene):
    page = person().go(f"/console/jobs/{scene.job}")
    page.get_by_label("Reason").fill("A mistake")
    page.get_by_role("button", name="Stop this job").click()

    expect(page.locator(".stat")).to_contain_text("stopped")
    assert invoice_of(scene.database, scene.ids["dpkg-48230"]).status == "queued"


def test_a_running_job_is_paused_and_goes_on_by_its_buttons(person, scene):
    looking = person()
    page = looking.go(f"/console/jobs/{scene.job}")
    page.get_by_label("Reason").fill("The provider asks us to wait")
    page.get_by_role("button", name="Pause this job").click()
    expect(page.locator(".stat")).to_contain_text("paused")

    page.get_by_label("Reason").fill("It is well again")
    page.get_by_role("button", name="Resume this job").click()

    expect(page.locator(".stat")).to_contain_text("running")
    expect(page.get_by_role("button", name="Pause this job")).to_be_visible()
    assert looking.errors == []


@pytest.mark.parametrize(
    ("place", "field", "button"),
    [
        ("/console/doubts", "#again-reason", "Create again"),
        ("/console/rejected", "#again-reason", "Send again"),
        ("/console/invoices/{}#actions", "form[action$='/mark'] input[name=reason]", "Mark as paid"),
    ],
)
def test_enter_in_a_reason_presses_none_of_several_buttons(person, scene, place, field, button):
    """It would press the first: mark as paid what was to be marked as failed, create again the newest alone."""
    looking = person()
    page = looking.go(place.format(scene.ids["dpkg-48229"]))
    if "actions" in place:
        page.locator("summary", has_text="Mark by hand").click()
    expect(page.get_by_role("button", name=button, exact=True).first).to_be_visible()
    page.evaluate("document.addEventListener('submit', sent => { sent.preventDefault(); window.sent = true; })")
    page.locator(field).fill("The customer called")
    page.locator(field).press("Enter")

    assert page.evaluate("window.sent") is None
    page.get_by_role("button", name=button, exact=True).first.click()
    assert page.evaluate("window.sent") is True
