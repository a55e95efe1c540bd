"""Settings of accounts: their keys, and what a budget for look-ups may be."""

from __future__ import annotations

from decimal import Decimal

import pytest

from config.settings import SettingsError, load_settings
from tests.unit.settings_cases import account


def test_accounts_come_from_toml_tables_with_exact_decimals(tmp_path):
    file = tmp_path / "invoices.toml"
    file.write_text(
        '[accounts.eu]\nprovider = "zeroxhost"\nbase_url = "https://0x.example/"\napi_key = "env:ZX_KEY"\n'
        "lifetime_minutes = 0.05\nrate_per_second = 2.5\n"
    )

    found = load_settings({"INVOICES_CONFIG": str(file), "ZX_KEY": "from-the-environment"}).accounts["eu"]

    assert (found.name, found.provider, found.base_url) == ("eu", "zeroxhost", "https://0x.example")
    assert found.api_key.get_secret_value() == "from-the-environment"
    assert (found.lifetime_minutes, found.rate_per_second) == (Decimal("0.05"), 2.5)


def test_an_api_key_may_stand_in_a_file(tmp_path):
    file = tmp_path / "key"
    file.write_text("  the-key\n")

    found = load_settings({"INVOICES_ACCOUNTS": account(api_key=f"file:{file}")}).accounts["shop"]

    assert found.api_key.get_secret_value() == "the-key"


def test_the_key_before_it_may_stand_elsewhere_too_and_is_never_the_words_that_say_where(tmp_path):
    file = tmp_path / "key"
    file.write_text("former\n")

    for place in (f"file:{file}", "env:FORMER"):
        given = {"INVOICES_ACCOUNTS": account(previous_api_key=place), "FORMER": "former"}
        settings = load_settings(given)
        assert settings.accounts["shop"].callback_keys() == ("k1", "former")
        assert "former" in settings.secrets()
    with pytest.raises(SettingsError, match=r"shop\.previous_api_key: the environment variable NONE is not set"):
        load_settings({"INVOICES_ACCOUNTS": account(previous_api_key="env:NONE")})


def test_a_key_file_of_more_than_4_kib_or_nothing_is_refused(tmp_path):
    for content in ("x" * 4097, "\n"):
        (tmp_path / "key").write_text(content)
        with pytest.raises(SettingsError, match=r"shop\.api_key: .*/key (is empty|holds more than 4,096 bytes)"):
            load_settings({"INVOICES_ACCOUNTS": account(api_key=f"file:{tmp_path}/key")})


@pytest.mark.parametrize("given", [0, -1, 0.0001, 100_001, "many", "nan", [5]])
def test_a_budget_for_look_ups_is_a_positive_number_within_its_bounds(given):
    with pytest.raises(SettingsError, match=r"INVOICES_ACCOUNTS: shop\.look_ups_per_second: must be"):
        load_settings({"INVOICES_ACCOUNTS": account(look_ups_per_second=given)})


@pytest.mark.parametrize("given", [0.001, 1, 2.5, 100_000])
def test_a_budget_for_look_ups_may_be_a_decimal(given):
    found = load_settings({"INVOICES_ACCOUNTS": account(look_ups_per_second=given)}).accounts["shop"]
    assert found.look_ups_per_second == given
    assert load_settings({"INVOICES_ACCOUNTS": account()}).accounts["shop"].look_ups_per_second is None


def test_a_budget_for_look_ups_leaves_creates_a_part_of_the_rate():
    found = load_settings({"INVOICES_ACCOUNTS": account(rate_per_second=5, look_ups_per_second=4.5)}).accounts["shop"]
    assert (found.rate_per_second, found.look_ups_per_second) == (5, 4.5)
    with pytest.raises(SettingsError, match=r"look_ups_per_second: must be less than rate_per_second \(5\)"):
        load_settings({"INVOICES_ACCOUNTS": account(rate_per_second=5, look_ups_per_second=5)})
