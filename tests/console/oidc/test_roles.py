"""Who somebody is by an issuer's word: the role, and the name that is shown."""

from __future__ import annotations

import pytest

from domain.permissions import Role
from tests.console.oidc.way import BACK, begin
from workers.web.console.id_token import find_claim, name_of, role_of


@pytest.mark.parametrize("roles", [[], ["owner"], "superuser", None, 7, {"admin": True}, [["admin"]]], ids=repr)
def test_whoever_has_no_role_of_ours_is_told_so(browser, issuer, roles):
    issuer.claims |= {"roles": roles}
    refused = browser.get(BACK, params=begin(browser, issuer))

    assert refused.status_code == 403
    assert "You have no role here" in refused.text
    assert not browser.is_signed_in()


@pytest.mark.parametrize(
    ("claim", "role"),
    [
        (["viewer", "finance", "operator"], Role.FINANCE),
        (["Admin", "viewer"], Role.ADMIN),
        ("viewer operator", Role.OPERATOR),
        ("viewer,other", Role.VIEWER),
        ("viewers", None),
        (["administrator"], None),
        (None, None),
    ],
)
def test_the_highest_role_counts(claim, role):
    assert role_of(claim) is role


def test_a_claim_is_found_by_its_name_or_by_the_points_in_it():
    claims = {"realm_access": {"roles": ["admin"]}, "https://pay.example/roles": ["viewer"], "a.b": 1, "a": {"b": 2}}

    assert find_claim(claims, "realm_access.roles") == ["admin"]
    assert find_claim(claims, "https://pay.example/roles") == ["viewer"]
    assert find_claim(claims, "a.b") == 1
    assert find_claim(claims, "realm_access.roles.x") is None


def test_roles_come_from_userinfo_where_the_token_has_none(browser, issuer):
    issuer.claims = {"roles": None}
    issuer.info = {"roles": ["finance"], "preferred_username": "m.okafor"}
    assert browser.get(BACK, params=begin(browser, issuer)).status_code == 303
    assert "m.okafor · finance" in browser.get("/console/invoices").text


def test_userinfo_about_somebody_else_counts_for_nothing(browser, issuer):
    issuer.claims = {"roles": None}
    issuer.info = {"sub": "another", "roles": ["admin"]}
    assert browser.get(BACK, params=begin(browser, issuer)).status_code == 403
    assert not browser.is_signed_in()


@pytest.mark.parametrize(
    ("claims", "name"),
    [
        ({"preferred_username": "j.brandt", "email": "j@example.net"}, "j.brandt"),
        ({"preferred_username": " ", "email": "j@example.net"}, "j@example.net"),
        ({"preferred_username": "a\u202eb", "sub": "7"}, "7"),
        ({"preferred_username": ["x"], "sub": "7"}, "7"),
        ({"sub": "\x00"}, "somebody"),
        ({"preferred_username": "\ufdfa" * 100, "sub": "7"}, "7"),  # 1800 letters to tell names apart by
        ({"sub": "x" * 300}, "x" * 100),
    ],
)
def test_the_name_is_the_first_that_can_be_shown(claims, name):
    assert name_of(claims) == name


def test_a_name_is_text(browser, issuer):
    issuer.claims |= {"preferred_username": "<img src=x onerror=alert(1)>"}
    assert browser.get(BACK, params=begin(browser, issuer)).status_code == 303
    assert "<img src=x" not in browser.get("/console/invoices").text
