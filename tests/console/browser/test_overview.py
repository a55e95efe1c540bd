"""The overview, the accounts and the audit log, in a browser."""

from __future__ import annotations

import re

from playwright.sync_api import expect

from domain.evidence import CredentialsRefused
from tests.contracts.store_cases import judge, seen
from workers.store.acts import Act, Actor, Deed, record


def test_the_overview_goes_on_by_itself(person, scene):
    looking = person()
    page = looking.go("/console/")
    expect(page.get_by_role("heading", level=1)).to_contain_text("Stalled: no worker runs")
    confirming = page.locator("#open-confirming")
    before = int(confirming.locator("strong").inner_text())
    expect(page.get_by_role("button", name="Live")).to_be_visible()

    judge(scene.store, scene.ids["dpkg-48231"], seen("confirming"))

    expect(confirming.locator("strong")).to_have_text(str(before + 1))
    assert looking.errors == []


def test_from_what_is_late_to_the_invoice_by_keys_alone(person, scene):
    looking = person()
    page = looking.go("/console/")
    row = page.locator("#late-in_doubt")
    expect(row).to_contain_text("In doubt: a create got no answer")

    for _ in range(20):
        page.keyboard.press("j")
        if "focused" in (row.get_attribute("class") or ""):
            break
    page.keyboard.press("Enter")

    expect(page).to_have_url(re.compile(f"/console/invoices/{scene.ids['dpkg-48229']}"))
    assert looking.errors == []


def test_a_refused_key_shows_in_the_rail_and_on_its_account(person, scene):
    judge(scene.store, scene.ids["dpkg-48230"], CredentialsRefused(reason="HTTP 401: unknown API key"))
    page = person().go("/console/")
    entry = page.get_by_role("navigation", name="Main").get_by_role("link", name="Accounts")
    expect(entry).to_contain_text("1")

    entry.click()
    expect(page.locator("#account-nebulox")).to_contain_text("key refused")
    page.locator("#account-nebulox").get_by_role("link").first.click()

    expect(page.get_by_text("The provider refuses the key")).to_be_visible()


def test_the_audit_log_is_filtered_by_its_form_and_a_chip_takes_that_back(person, scene):
    with scene.database.transaction() as connection:
        deed = Deed(act=Act.DISMISS, callback_id=17)
        record(connection, scene.database, Actor("m.ito", "cli", "not ours"), [deed])
    looking = person()
    page = looking.go("/console/audit")
    every = page.locator("tr[data-row]").count()

    page.get_by_label("Who", exact=True).fill("m.ito")
    page.get_by_role("button", name="Filter").click()
    expect(page.locator("tr[data-row]")).to_have_count(1)
    expect(page).to_have_url(re.compile(r"\?by=m\.ito"))

    with page.expect_download() as downloading:
        page.get_by_role("link", name="CSV").click()
    assert downloading.value.suggested_filename == "audit.csv"

    page.get_by_role("link", name="by m.ito").click()
    expect(page.locator("tr[data-row]")).to_have_count(every)
    assert looking.errors == []


def test_without_scripts_the_overview_the_log_and_the_settings_are_whole(person):
    for place, words in (
        ("/console/", "What is late, and why"),
        ("/console/accounts/nebulox", "Answers of late"),
        ("/console/audit", "Ticket 8841"),
        ("/console/settings", "INVOICES_DATABASE_URL"),
    ):
        page = person(scripts=False).go(place)
        expect(page.get_by_text(words).first).to_be_visible()
