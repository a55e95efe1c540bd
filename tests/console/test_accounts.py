"""Accounts at providers: how each does, what it answered, what it is set to; no secret of any."""

from __future__ import annotations

import pytest

from domain.account import Account, MissingKey
from domain.evidence import CredentialsRefused, RateLimited
from domain.permissions import Role
from tests.console.scene import ACCOUNTS, MARKUP
from tests.contracts.store_cases import judge
from workers.web.console.accounts import settings_of

REFUSED = CredentialsRefused(reason="HTTP 401: unknown API key")


@pytest.mark.parametrize("role", list(Role))
def test_every_role_sees_how_accounts_do(ground, role):
    page = ground.get("/console/accounts", role).text

    for name in ACCOUNTS:
        assert f'href="/console/accounts/{name}"' in page
    assert "1 in doubt" in page


def test_who_sees_one_account_sees_no_other(ground):
    page = ground.get("/console/accounts", accounts="zeroxhost").text

    assert "nebulox" not in page
    assert ground.get("/console/accounts/zeroxhost", accounts="zeroxhost").status_code == 200
    refused = ground.get("/console/accounts/nebulox", accounts="zeroxhost")
    missing = ground.get("/console/accounts/nobodys", accounts="zeroxhost")
    assert (refused.status_code, missing.status_code) == (404, 404)
    assert "There is no such account" in refused.text


@pytest.mark.parametrize("name", ["..%2Fadmin", "%3Cscript%3E", "nebulox%00", "x" * 300])
def test_a_name_that_is_none_is_not_found(ground, name):
    assert ground.get(f"/console/accounts/{name}").status_code == 404


def test_an_account_shows_what_it_is_set_to_and_no_key(ground):
    page = ground.get("/console/accounts/zeroxhost").text

    assert "a-secret-key" not in page
    assert '<dt class="mono">api_key</dt><dd><span class="mono">***</span></dd>' in page
    assert '<dt class="mono">max_in_flight</dt><dd class="muted"><span class="mono">100</span></dd>' in page
    assert "https://pay.example/callbacks/zeroxhost" in page
    assert "invoices callbacks test zeroxhost" in page


def test_every_setting_of_an_account_is_told_and_none_of_its_secrets():
    account = Account(
        name="shop",
        provider="nebulox",
        base_url="https://pay.example",
        api_key="first-secret",
        previous_api_key="second-secret",
        rate_per_second=2.5,
    )
    told = {one.name: one.value for one in settings_of(account)}

    assert set(told) == set(Account.model_fields) - {"name"}
    assert "secret" not in " ".join(told.values())
    assert (told["previous_api_key"], told["rate_per_second"]) == ("***", "2.5")
    missing = account.model_copy(update={"api_key": MissingKey("shop.api_key: the environment variable X is not set")})
    assert settings_of(missing)[2].value == "shop.api_key: the environment variable X is not set"


def test_a_refused_key_is_told_first_with_since_when_and_an_example(ground, scene):
    judge(scene.store, scene.ids["dpkg-48230"], REFUSED)
    page = ground.get("/console/accounts/nebulox").text

    assert "The provider refuses the key" in page
    assert 'class="why needs-person"' in page
    assert f'<a href="/console/invoices/{scene.ids["dpkg-48230"]}">dpkg-48230</a>' in page
    assert "orders fail 10 min after they were turned away" in page
    assert "key refused" in ground.get("/console/accounts").text


def test_a_provider_that_asked_to_wait_is_told_with_the_time(ground, scene):
    judge(scene.store, scene.ids["dpkg-48230"], RateLimited(reason="HTTP 429", retry_after_seconds=300.0))

    assert "orders wait for their turn" in ground.get("/console/accounts").text


def test_answers_of_late_are_told_with_their_orders(ground, scene):
    page = ground.get("/console/accounts/nebulox").text

    assert "answer lost" in page
    assert "no answer in 10 s" in page
    assert f'href="/console/invoices/{scene.ids["dpkg-48229"]}"' in page
    assert scene.ids["dpkg-48225"] not in page  # another account's


def test_what_a_provider_said_is_text(ground, scene):
    judge(scene.store, scene.ids["dpkg-48230"], CredentialsRefused(reason=MARKUP))
    page = ground.get("/console/accounts/nebulox").text

    assert MARKUP not in page
    assert "&lt;img src=x onerror=" in page
