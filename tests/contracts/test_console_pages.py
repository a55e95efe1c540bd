"""Every page of the console on both databases: as it is, with what no database takes, and without its database."""

from __future__ import annotations

import re

import pytest
from sqlalchemy.exc import OperationalError

from tests.console.ground import Ground
from tests.console.pages import NO_PAGES, PAGES, address
from tests.console.scene import Scene

FILES = sorted(one for one in NO_PAGES if one.endswith((".csv", ".jsonl")) and "{" not in one)


@pytest.fixture
def ground(database):
    """The console over a scene."""
    ground = Ground(Scene(database))
    yield ground
    ground.close()


def answers(ground, places, **options):
    return {place: ground.get(place, **options).status_code for place in places}


def test_every_page_is_drawn_for_who_sees_all_and_for_who_sees_one_account(ground):
    of_job = f"/console/jobs/{ground.scene.finished_job}/failures.jsonl"
    places = [*(address(pattern, ground.scene) for pattern in PAGES), *FILES, of_job]

    assert answers(ground, places) == dict.fromkeys(places, 200)
    limited = answers(ground, places, accounts="zeroxhost")
    assert set(limited.values()) <= {200, 303, 403, 404}
    assert {limited[place] for place in ("/console/", "/console/invoices", *FILES)} == {200}


def test_an_address_with_what_no_row_has_is_no_page(ground):
    forged = ["%00", "a%00b", "%ED%A0%80", "%F0%9F%98%80", "9" * 18, "9" * 400, "-1", "%27%3B--"]
    places = {re.sub(r"\{[^}]*\}", one, pattern) for pattern in PAGES if "{" in pattern for one in forged}

    assert answers(ground, places) == dict.fromkeys(places, 404)


def test_without_its_database_every_page_says_so(database, monkeypatch):
    def away(*_, **__):
        raise OperationalError("SELECT", {}, Exception("gone"))

    scene = Scene(database)
    forms = {pattern for pattern in PAGES if pattern.endswith("/add")}  # they read nothing
    places = [*(address(pattern, scene) for pattern in PAGES if pattern not in forms), *FILES]
    for name in ("read", "transaction", "glancing", "time"):
        monkeypatch.setattr(database, name, away)
    ground = Ground(scene)

    assert answers(ground, places) == dict.fromkeys(places, 503)
    assert "The database does not answer" in ground.get("/console/invoices").text
    ground.close()
