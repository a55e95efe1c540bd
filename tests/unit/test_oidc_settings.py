"""Settings of the console's issuer."""

from __future__ import annotations

import pytest

from config.settings import SettingsError, load_settings
from tests.unit.settings_cases import KEY

ISSUER = {"INVOICES_OIDC_ISSUER": "https://id.example/realms/shop/", "INVOICES_OIDC_CLIENT_ID": "invoices"}


def test_an_issuer_is_kept_exactly_as_it_names_itself_and_the_secret_is_one():
    settings = load_settings(ISSUER | {"INVOICES_OIDC_CLIENT_SECRET": "very-secret"})

    assert settings.oidc_issuer == "https://id.example/realms/shop/"
    assert settings.oidc_roles_claim == "roles"
    assert "very-secret" in settings.secrets()
    assert "very-secret" not in repr(settings)


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"INVOICES_OIDC_ISSUER": "https://id.example"}, "INVOICES_OIDC_CLIENT_ID: is required"),
        ({"INVOICES_OIDC_CLIENT_ID": "invoices"}, "INVOICES_OIDC_CLIENT_ID: INVOICES_OIDC_ISSUER is missing"),
        ({"INVOICES_OIDC_CLIENT_SECRET": "s3cret-s3cret"}, "INVOICES_OIDC_CLIENT_SECRET: INVOICES_OIDC_ISSUER"),
        ({"INVOICES_OIDC_ROLES_CLAIM": "groups"}, "INVOICES_OIDC_ROLES_CLAIM: INVOICES_OIDC_ISSUER is missing"),
        (ISSUER | {"INVOICES_OIDC_ISSUER": "http://id.example"}, "INVOICES_OIDC_ISSUER: must be an https address"),
        (ISSUER | {"INVOICES_OIDC_ISSUER": "https://id.example/?a=b"}, "INVOICES_OIDC_ISSUER"),
        (ISSUER | {"INVOICES_OIDC_ISSUER": "https://me:pw@id.example/"}, "INVOICES_OIDC_ISSUER"),
        (ISSUER | {"INVOICES_OIDC_ROLES_CLAIM": "a..b"}, "INVOICES_OIDC_ROLES_CLAIM: must be the name"),
    ],
)
def test_what_is_half_set_up_stops_the_start(given, named):
    with pytest.raises(SettingsError, match=named) as refused:
        load_settings(given)
    assert "s3cret" not in str(refused.value)


def test_http_on_loopback_is_for_trying_it():
    assert load_settings(ISSUER | {"INVOICES_OIDC_ISSUER": "http://localhost:8080"}).oidc_issuer


@pytest.mark.parametrize(
    ("given", "is_public"),
    [
        ({}, False),
        ({"INVOICES_WEB_HOST": "localhost"}, False),
        ({"INVOICES_WEB_HOST": "::1"}, False),
        ({"INVOICES_WEB_HOST": "0.0.0.0"}, True),
        ({"INVOICES_WEB_HOST": "::"}, True),
        ({"INVOICES_WEB_HOST": "pay.internal"}, True),
        ({"INVOICES_PUBLIC_URL": "https://pay.example"}, True),
        ({"INVOICES_PUBLIC_URL": "http://127.0.0.1:8420"}, False),
    ],
)
def test_whether_other_hosts_reach_the_console(given, is_public):
    assert load_settings(given).is_public is is_public


def test_links_are_for_the_embedded_default():
    elsewhere = {"INVOICES_DATABASE_URL": "sqlite:////tmp/x.db", "INVOICES_SECRET_KEY": KEY}
    assert load_settings({}).embedded
    assert not load_settings(elsewhere).embedded
