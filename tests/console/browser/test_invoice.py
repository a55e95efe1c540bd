"""One invoice in a browser: it goes on by itself under what a person is typing, acts are clicked, everything is there
without scripts."""

from __future__ import annotations

from decimal import Decimal

from playwright.sync_api import expect

from tests.console.browser.conftest import NARROW
from tests.console.story import ORDER
from tests.contracts.store_cases import invoice_of, judge, rows, seen
from workers.store.tables import ACT


def place(scene, order_id):
    return f"/console/invoices/{scene.ids[order_id]}"


def test_the_page_goes_on_by_itself_and_leaves_what_is_typed_and_what_is_open(person, scene):
    looking = person()
    page = looking.go(place(scene, "dpkg-48231"))
    expect(page.get_by_role("button", name="Live")).to_be_visible()
    page.locator("summary", has_text="Cancel").click()
    reason = page.locator("form[action$='/cancel'] input[name=reason]")
    reason.fill("The customer called")

    judge(scene.store, scene.ids["dpkg-48231"], seen("partially_paid", paid_amount=Decimal("0.01")))

    expect(page.locator(".standing")).to_contain_text("partially paid")
    expect(page.locator("#payment")).to_contain_text("Still missing")
    expect(page.locator("#timeline")).to_contain_text("invoice.partially_paid")
    expect(reason).to_have_value("The customer called")
    assert looking.errors == []


def test_what_may_be_done_goes_on_with_the_page_so_a_form_opened_now_is_for_what_is_seen_now(person, scene):
    looking = person()
    page = looking.go(place(scene, "dpkg-48231"))
    expect(page.get_by_role("button", name="Live")).to_be_visible()
    judge(scene.store, scene.ids["dpkg-48231"], seen("partially_paid", paid_amount=Decimal("0.01")))
    expect(page.locator(".standing")).to_contain_text("partially paid")

    page.locator("summary", has_text="Cancel").click()
    page.locator("form[action$='/cancel'] input[name=reason]").fill("The customer called")
    page.get_by_role("button", name="Cancel the invoice").click()

    expect(page.get_by_role("status")).to_contain_text("The invoice is cancelled.")
    assert looking.errors == []


def test_an_act_that_has_become_impossible_says_so_by_itself(person, scene):
    page = person().go(place(scene, "dpkg-48231"))
    expect(page.get_by_role("button", name="Live")).to_be_visible()
    expect(page.locator("summary", has_text="Cancel")).to_be_visible()

    judge(scene.store, scene.ids["dpkg-48231"], seen("paid"))

    expect(page.locator("#off-cancel")).to_be_visible()
    expect(page.locator("summary", has_text="Cancel")).to_have_count(0)


def test_a_form_that_was_opened_before_the_invoice_changed_does_nothing_and_can_be_sent_again(person, scene):
    looking = person()
    page = looking.go(place(scene, "dpkg-48231"))
    page.locator("summary", has_text="Cancel").click()
    page.locator("form[action$='/cancel'] input[name=reason]").fill("The customer called")
    judge(scene.store, scene.ids["dpkg-48231"], seen("partially_paid", paid_amount=Decimal("0.01")))

    page.get_by_role("button", name="Cancel the invoice").click()

    expect(page.get_by_role("alert")).to_contain_text("has changed since this page was opened")
    expect(page.locator("form[action$='/cancel'] input[name=reason]")).to_have_value("The customer called")
    page.get_by_role("button", name="Cancel the invoice").click()
    expect(page.get_by_role("status")).to_contain_text("The invoice is cancelled.")
    assert invoice_of(scene.database, scene.ids["dpkg-48231"]).status == "cancelled"


def test_somebody_in_finance_marks_an_expired_invoice_as_paid_with_the_keyboard_alone(person, scene):
    looking = person(role="finance")
    page = looking.go(place(scene, ORDER))
    page.locator("summary", has_text="Mark by hand").focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    page.keyboard.type("0.0200000000")
    page.keyboard.press("Tab")
    page.keyboard.type("The shop accepts the short payment")
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Mark as paid")).to_be_focused()
    page.keyboard.press("Enter")

    expect(page.get_by_role("status")).to_contain_text("The invoice is marked.")
    expect(page.locator(".standing")).to_contain_text("paid")
    row = invoice_of(scene.database, scene.ids[ORDER])
    assert (row.status, row.anomaly, row.paid_amount) == ("paid", "late", Decimal("0.02"))
    assert rows(scene.database, ACT)[-1].reason == "The shop accepts the short payment"
    assert looking.errors == []


def test_the_command_and_the_address_are_copied(person, scene):
    looking = person(permissions=["clipboard-read", "clipboard-write"])
    page = looking.go(place(scene, "dpkg-48231"))

    page.get_by_role("button", name="Copy address").click()
    assert page.evaluate("navigator.clipboard.readText()") == "0x7717bE41c93Ad05f62f3D1b8E0C4a5917d2A8179"
    page.get_by_role("button", name="Copy as command").click()
    assert page.evaluate("navigator.clipboard.readText()") == f"invoices show {scene.ids['dpkg-48231']}"


def test_without_scripts_an_invoice_is_whole_and_can_be_cancelled(person, scene):
    page = person(scripts=False).go(place(scene, "dpkg-48231"))

    expect(page.locator("svg.qr")).to_be_visible()
    expect(page.get_by_role("button", name="Copy address")).to_be_hidden()
    page.locator("summary", has_text="Cancel").click()
    page.get_by_role("button", name="Cancel the invoice").click()

    expect(page.get_by_role("status")).to_contain_text("The invoice is cancelled.")


def test_on_a_phone_payment_and_actions_are_one_tap_away(person, scene):
    page = person(viewport=NARROW).go(place(scene, ORDER))

    page.get_by_role("link", name="Actions").click()

    expect(page.locator("#actions")).to_be_in_viewport()


def test_raw_words_are_a_click_away_and_lead_back(person, scene):
    page = person().go(place(scene, ORDER))

    page.get_by_role("link", name="raw, 28 B").click()
    expect(page.locator("pre")).to_have_text('{"status": "partially_paid"}')
    page.get_by_role("link", name=ORDER).click()
    expect(page.locator("h1")).to_have_text(ORDER)
