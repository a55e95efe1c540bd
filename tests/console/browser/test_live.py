"""Pages that go on by themselves, in a browser."""

from __future__ import annotations

from playwright.sync_api import expect

from tests.contracts.store_cases import judge, seen


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


def test_without_scripts_a_page_is_whole(person):
    page = person(scripts=False).go("/console/invoices")

    expect(page.get_by_role("row")).not_to_have_count(0)
    expect(page.locator("#live")).to_be_hidden()
