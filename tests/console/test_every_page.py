"""What holds for every page of the console."""

from __future__ import annotations

import pytest

from tests.console.ground import Ground
from tests.console.pages import NO_PAGES, PAGES, address
from tests.console.scene import MARKUP


@pytest.fixture(scope="module")
def scene(lasting_scene):
    """One for all: they only look."""
    return lasting_scene


@pytest.fixture(scope="module")
def ground(scene):
    """The console over it."""
    ground = Ground(scene)
    yield ground
    ground.close()


def test_every_page_is_among_those_that_are_tested(ground):
    answers_get = {route.path for route in ground.served.routes if "GET" in route.methods}

    assert answers_get - NO_PAGES == set(PAGES), "give the new page an address in tests/console/pages.py"


@pytest.mark.parametrize("pattern", PAGES)
def test_every_page_has_one_search_box_shows_foreign_text_as_text_and_holds_nothing_inline(ground, scene, pattern):
    answered = ground.get(address(pattern, scene))

    assert answered.status_code == 200
    assert answered.text.count('type="search"') == 1
    assert MARKUP not in answered.text, "what a shop wrote is text"
    assert " style=" not in answered.text
    policy = answered.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy


@pytest.mark.parametrize("pattern", PAGES)
def test_every_page_is_drawn_in_german_too(ground, scene, pattern):
    answered = ground.get(address(pattern, scene), headers={"accept-language": "de"})

    assert answered.status_code == 200
    assert '<html lang="de">' in answered.text
    assert MARKUP not in answered.text


def test_who_has_not_signed_in_is_sent_to_the_sign_in_and_comes_back(ground):
    page = "/console/invoices"
    answered = ground.get(f"{page}?status=paid", role="nobody")

    assert answered.status_code == 303
    assert answered.headers["location"] == f"/console/sign-in?next={page.replace('/', '%2F')}%3Fstatus%3Dpaid"


def test_an_address_that_is_no_page_is_answered_by_a_page(ground):
    answered = ground.get("/console/nothing-here")

    assert answered.status_code == 404
    assert "There is no such page" in answered.text


@pytest.mark.parametrize(("since", "until"), [("0001-01-01T00:00", "9999-12-31T23:59"), ("9999-12-31T23:59", "")])
@pytest.mark.parametrize("page", ["audit", "audit.csv", "deliveries", "invoices", "endpoints/{}/replay"])
def test_the_first_and_the_last_time_that_there_is_can_be_asked_for(ground, scene, page, since, until):
    place = f"/console/{page.format(scene.receivers['failing'])}"

    assert ground.get(place, params={"since": since} | ({"until": until} if until else {})).status_code == 200
