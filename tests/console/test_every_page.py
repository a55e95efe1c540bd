"""What holds for every page of the console."""

from __future__ import annotations

import pytest

from tests.console.pages import NO_PAGES, PAGES, address
from tests.console.scene import MARKUP


def test_every_page_is_among_those_that_are_tested(ground):
    answers_get = {route.path for route in ground.served.routes if "GET" in route.methods}

    assert answers_get - NO_PAGES == set(PAGES), "give the new page an address in tests/console/pages.py"


@pytest.mark.parametrize("pattern", PAGES)
def test_every_page_answers_with_one_search_box_and_a_policy_without_anything_inline(ground, scene, pattern):
    answered = ground.get(address(pattern, scene))

    assert answered.status_code == 200
    assert answered.text.count('type="search"') == 1
    assert " style=" not in answered.text
    policy = answered.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy


@pytest.mark.parametrize("pattern", PAGES)
def test_what_a_shop_wrote_is_shown_as_text(ground, scene, pattern):
    assert MARKUP not in ground.get(address(pattern, scene)).text


@pytest.mark.parametrize("language", ["en", "de"])
@pytest.mark.parametrize("pattern", PAGES)
def test_every_page_is_drawn_in_every_language(ground, scene, pattern, language):
    answered = ground.get(address(pattern, scene), headers={"accept-language": language})

    assert answered.status_code == 200
    assert f'<html lang="{language}">' in answered.text


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
