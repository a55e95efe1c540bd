"""The example of a settings file is one: it loads as it stands, and with everything in it that is commented out."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from config.knobs import KNOBS
from config.settings import SettingsError, load_settings

EXAMPLE = Path(__file__).parents[2] / "deploy/invoices.example.toml"
COMMENTED = re.compile(r"^#([a-z_]+ = )", re.MULTILINE)
KEY = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="


@pytest.fixture
def environ(tmp_path):
    key = tmp_path / "zeroxhost"
    key.write_text("a-key")
    text = EXAMPLE.read_text().replace("/run/secrets/zeroxhost", str(key))
    (tmp_path / "invoices.toml").write_text(text)
    (tmp_path / "everything.toml").write_text(COMMENTED.sub(r"\1", text))
    return {
        "INVOICES_CONFIG": str(tmp_path / "invoices.toml"),
        "NEBULOX_KEY": "one",
        "NEBULOX_KEY_BEFORE": "another",
        "INVOICES_SECRET_KEY": KEY,
    }


def test_the_example_loads_as_it_stands(environ):
    settings = load_settings(environ)
    assert {name: account.provider for name, account in settings.accounts.items()} == {
        "shop": "nebulox",
        "servers": "zeroxhost",
    }
    assert settings.accounts["servers"].base_url == "https://0xhost.net"


def test_what_it_says_of_defaults_is_so(environ):
    """What is commented out changes nothing, but where no default could be shown."""
    plain = load_settings(environ)
    everything = load_settings(
        environ | {"INVOICES_CONFIG": environ["INVOICES_CONFIG"].replace("invoices.toml", "everything.toml")}
    )
    shown_only = {"webhook_allow", "web_allowed_hosts", "trusted_proxies", "public_url", "log_format", "accounts"}
    shown_only |= {"archive_dir", "database_url", "broker_url", "redis_url"}  # by their passwords
    shown_only |= {"home"}  # by default each user's own
    shown_only |= {"oidc_issuer", "oidc_client_id", "oidc_client_secret", "given_in"}
    changed = {name for name in type(plain).model_fields if getattr(plain, name) != getattr(everything, name)}
    assert changed <= shown_only
    one, other = plain.accounts["shop"], everything.accounts["shop"]
    differ = {name for name in type(one).model_fields if getattr(one, name) != getattr(other, name)}
    assert differ == {"previous_api_key", "rate_per_second"}


def test_it_names_every_setting_there_is():
    names = set(re.findall(r"^#?([a-z_]+) = ", EXAMPLE.read_text(), re.MULTILINE))
    assert set(KNOBS) - names == {"accounts"}


def test_without_its_keys_workers_do_not_start_and_rows_can_be_read(environ):
    del environ["NEBULOX_KEY"]
    with pytest.raises(SettingsError, match="api_key: the environment variable NEBULOX_KEY is not set"):
        load_settings(environ)
    assert load_settings(environ, need_keys=False).accounts["shop"].provider == "nebulox"
