"""What holds for every page as it is seen: axe finds nothing, nothing is cut, nothing scrolls sideways, no error."""

from __future__ import annotations

import pytest
from axe_playwright_python.sync_playwright import Axe

from tests.console.browser.conftest import NARROW, Site
from tests.console.ground import Ground
from tests.console.pages import PAGES, address

#: How far a page may be wider than the window: not at all.
SIDEWAYS = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
#: Regions that are wider than their panel: on a phone they scroll, on a screen nothing should.
CUT = """[...document.querySelectorAll('.scroll')].filter(one => one.scrollWidth > one.clientWidth)
    .map(one => one.getAttribute('aria-label') || one.getAttribute('aria-labelledby'))"""
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


@pytest.fixture(scope="module")
def site(lasting_scene):
    """One for all: they only look."""
    ground = Ground(lasting_scene)
    site = Site(ground)
    yield site
    site.close()
    ground.close()


@pytest.mark.parametrize("pattern", PAGES)
def test_a_page_is_right_to_see_wide_and_narrow_light_and_dark(person, lasting_scene, pattern):
    looking = person()
    page = looking.go(address(pattern, lasting_scene))
    assert _found(page) == []
    assert page.evaluate(SIDEWAYS) <= 0

    page.emulate_media(color_scheme="dark")
    assert _found(page) == [], "dark"

    page.set_viewport_size(NARROW)
    assert _found(page) == [], "on a phone"
    assert page.evaluate(SIDEWAYS) <= 0, "on a phone"
    assert looking.errors == []


@pytest.mark.timeout(900)  # every page
@pytest.mark.parametrize("language", ["en-GB", "de-DE"])
def test_on_a_screen_no_table_is_cut_in_any_language(person, lasting_scene, language):
    looking = person(language=language)

    cut = {pattern: looking.go(address(pattern, lasting_scene)).evaluate(CUT) for pattern in PAGES}

    assert {pattern: regions for pattern, regions in cut.items() if regions} == {}
