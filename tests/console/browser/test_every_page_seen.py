"""What holds for every page as it is seen: axe finds nothing, nothing is cut, nothing scrolls sideways, no error."""

from __future__ import annotations

import pytest
from axe_playwright_python.sync_playwright import Axe

from tests.console.browser.conftest import NARROW, WIDE
from tests.console.pages import PAGES, address

#: How far a page may be wider than the window: not at all.
SIDEWAYS = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
#: Rules of WCAG 2.2 AA and axe's own best practices.
OPTIONS = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}


def _found(page) -> list[str]:
    """What axe finds, a line each: the rule, and the first place of it."""
    results = Axe().run(page, options=OPTIONS)
    return [
        f"{one['id']} ({one['help']}): {node['html'][:160]} {node.get('failureSummary', '')[:300]}"
        for one in results.response["violations"]
        for node in one["nodes"][:2]
    ]


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("pattern", PAGES)
def test_axe_finds_nothing(person, scene, pattern, dark):
    looking = person(dark=dark)
    page = looking.go(address(pattern, scene))

    assert _found(page) == []
    assert looking.errors == []


@pytest.mark.parametrize("viewport", [NARROW, WIDE], ids=["380", "1280"])
@pytest.mark.parametrize("pattern", PAGES)
def test_no_page_scrolls_sideways(person, scene, pattern, viewport):
    page = person(viewport=viewport).go(address(pattern, scene))

    assert page.evaluate(SIDEWAYS) <= 0


@pytest.mark.parametrize("pattern", PAGES)
def test_axe_finds_nothing_on_a_phone(person, scene, pattern):
    assert _found(person(viewport=NARROW).go(address(pattern, scene))) == []
