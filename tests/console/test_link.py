"""The link that signs in once, by requests."""

from __future__ import annotations

import pytest
from sqlalchemy import update

from tests.console.doorstep import Doorstep
from tests.console.scene import OPERATOR
from workers.store.operate.sessions import add_link
from workers.store.reads.acts import list_acts
from workers.store.tables import LINK
from workers.web.console.gate import Doors


@pytest.fixture
def key(doorstep):
    """Of a link that nobody has used."""
    return add_link(doorstep.store, OPERATOR)[0]


def test_looking_at_a_link_uses_nothing_up_and_its_button_signs_in(doorstep, key):
    browser = doorstep.browser()
    for _ in range(2):
        page = browser.get(f"/console/link?key={key}")
        assert (page.status_code, "set-cookie" in page.headers) == (200, False)
        assert f'value="{key}"' in page.text

    signed_in = browser.post("/console/link", {"key": key})

    assert (signed_in.status_code, signed_in.headers["location"]) == (303, "/console/")
    assert "r.adeyemi · admin" in browser.get("/console/invoices").text


def test_it_works_once(doorstep, key):
    doorstep.browser().post("/console/link", {"key": key})
    second = doorstep.browser()
    refused = second.post("/console/link", {"key": key})

    assert refused.status_code == 401
    assert "was used, or is older than ten minutes" in refused.text
    assert not second.is_signed_in()


def test_it_works_for_ten_minutes(doorstep, key):
    with doorstep.store.database.transaction() as connection:
        connection.execute(update(LINK).values(ends_at=LINK.c.created_at))

    assert doorstep.browser().post("/console/link", {"key": key}).status_code == 401


@pytest.mark.parametrize("key", ["", "x" * 43, "not/a/key?", "A" * 5000])
def test_another_one_is_refused(doorstep, key):
    browser = doorstep.browser()

    assert browser.get("/console/link", params={"key": key}).status_code == 200
    assert browser.post("/console/link", {"key": key}).status_code == 401
    assert not browser.is_signed_in()


def test_away_from_the_embedded_default_there_are_none(store):
    doorstep = Doorstep(store, Doors(is_public=False))
    key = add_link(store, OPERATOR)[0]
    browser = doorstep.browser()

    assert browser.get(f"/console/link?key={key}").status_code == 403
    assert browser.post("/console/link", {"key": key}).status_code == 403
    assert not browser.is_signed_in()
    assert "console-link" not in browser.get("/console/sign-in").text
    doorstep.close()


def test_making_one_and_using_it_are_in_the_audit_log(doorstep, key):
    doorstep.browser().post("/console/link", {"key": key})
    acts = list(list_acts(doorstep.store.database))

    assert [act.act for act in acts] == ["person.sign_in", "console.link"]
    assert key not in str(acts)
