"""Pages that go on by themselves, in a browser."""

from __future__ import annotations

from playwright.sync_api import expect

from tests.contracts.store_cases import created, judge, seen
from workers.store.intake import Rejection


def test_a_row_changes_by_itself_and_is_tinted_for_a_while(person, scene):
    looking = person()
    page = looking.go("/console/invoices")
    row = page.locator(f"#{scene.ids['dpkg-48231']}")
    expect(row).to_contain_text("pending")
    expect(page.get_by_role("button", name="Live")).to_be_visible()

    judge(scene.store, scene.ids["dpkg-48231"], seen("confirming"))

    expect(row).to_contain_text("confirming")
    expect(row).to_have_class("changed")
    assert looking.errors == []


def test_r_pauses_and_goes_on_with_all_that_happened_meanwhile(person, scene):
    looking = person()
    page = looking.go("/console/invoices")
    row = page.locator(f"#{scene.ids['dpkg-48231']}")
    expect(page.get_by_role("button", name="Live")).to_be_visible()

    page.keyboard.press("r")
    expect(page.get_by_role("button", name="Paused")).to_be_visible()
    judge(scene.store, scene.ids["dpkg-48231"], seen("confirming"))
    judge(scene.store, scene.ids["dpkg-48231"], seen("paid"))
    expect(row).to_contain_text("pending")
    page.keyboard.press("r")

    expect(page.get_by_role("button", name="Live")).to_be_visible()
    expect(row).to_contain_text("paid")
    assert looking.errors == []


def test_what_comes_to_be_settled_stands_there_by_itself_and_can_be_acted_on(person, scene):
    looking = person()
    page = looking.go("/console/rejected")
    rows = page.locator("tbody tr")
    expect(page.get_by_role("button", name="Live")).to_be_visible()
    before = rows.count()
    page.locator("#again-reason").fill("the release is mended")

    scene.store.reject([Rejection("c" * 64, "invoices.create", "price: is required", "{}", complete=True)])

    expect(rows).not_to_have_count(before)
    expect(page.locator("#again-reason")).to_have_value("the release is mended")
    rows.first.get_by_role("button", name="Send again").click()
    expect(page.get_by_role("status")).to_contain_text("Sent again: 1.")
    assert looking.errors == []


def test_an_invoice_whose_answer_is_found_leaves_the_doubts_by_itself(person, scene):
    looking = person()
    page = looking.go("/console/doubts")
    row = page.locator(f"#doubt-{scene.ids['dpkg-48229']}")
    expect(row).to_be_visible()
    expect(page.get_by_role("button", name="Live")).to_be_visible()

    judge(scene.store, scene.ids["dpkg-48229"], created())

    expect(row).to_have_count(0)
    expect(page.get_by_text("Nothing is in doubt")).to_be_visible()
    expect(page.locator("#again")).to_be_hidden()
    assert looking.errors == []


def test_of_too_many_pages_the_oldest_says_that_it_was_let_go_and_goes_on_when_it_is_told_to(person, monkeypatch):
    monkeypatch.setattr("workers.web.console.open_pages.MOST_OF_ONE", 1)
    looking = person()
    page = looking.go("/console/invoices")
    expect(page.get_by_role("button", name="Live")).to_be_visible()

    other = person().go("/console/deliveries")
    expect(other.get_by_role("button", name="Live")).to_be_visible()

    expect(page.get_by_role("button", name="Paused")).to_be_visible()
    expect(page.get_by_role("status")).to_contain_text("no longer goes on by itself")
    page.keyboard.press("r")
    expect(page.get_by_role("button", name="Live")).to_be_visible()
    expect(page.locator("#let-go")).to_be_hidden()
    expect(other.get_by_role("button", name="Paused")).to_be_visible()
    assert looking.errors == []


def test_without_scripts_a_page_is_whole(person):
    page = person(scripts=False).go("/console/invoices")

    expect(page.get_by_role("row")).not_to_have_count(0)
    expect(page.locator("#live")).to_be_hidden()
