"""A provider's key is needed by whoever calls the provider, and by nobody else."""

from __future__ import annotations

import json

import pytest
from pydantic import SecretStr

from config.settings import load_settings
from domain.account import Account, KeyMissing, MissingKey
from workers.bootstrap import check_accounts


@pytest.fixture
def keyless(invoices, add_order, monkeypatch):
    """The command where an account's key is nowhere to be found, with an order of it."""
    invoice_id = add_order("order-1")
    fields = {"provider": "nebulox", "base_url": "https://nebulox.test", "api_key": "env:NOBODY_SET_THIS"}
    other = fields | {"api_key": "file:/nowhere/key", "previous_api_key": "env:NOR_THIS"}
    monkeypatch.setenv("INVOICES_ACCOUNTS", json.dumps({"nebulox": fields, "other": other}))
    return invoices, invoice_id


@pytest.mark.parametrize(
    "command",
    [
        ("list",),
        ("show", "order-1"),
        ("events",),
        ("rejected",),
        ("contradictions",),
        ("unmatched", "list"),
        ("deliveries", "list"),
        ("endpoints", "list"),
        ("cancel", "order-1"),
        ("mark", "order-1", "failed", "--reason", "by phone"),
        ("migrate",),
    ],
)
def test_what_calls_no_provider_needs_no_key(keyless, command):
    invoices, _ = keyless
    ran = invoices(*command, "--json")
    assert (ran.code, ran.err) == (0, "")


@pytest.mark.parametrize("command", [("up",), ("web",)])
def test_what_calls_providers_does_not_start_without(keyless, command):
    invoices, _ = keyless
    ran = invoices(*command)
    assert ran.code == 1
    assert "INVOICES_ACCOUNTS: nebulox.api_key: the environment variable NOBODY_SET_THIS is not set" in ran.err


def test_the_doctor_tells(keyless):
    invoices, _ = keyless
    ran = invoices("doctor", "--json")
    assert ran.code == 1
    assert "NOBODY_SET_THIS" in ran.lines[0]["detail"]


def test_a_key_that_is_missing_says_so_where_it_is_used_and_shows_nowhere():
    account = Account(name="a", provider="nebulox", base_url="https://a.test", api_key=MissingKey("a.api_key: gone"))
    assert account.missing_key() == "a.api_key: gone"
    assert account.known_keys() == ()
    with pytest.raises(KeyMissing, match="gone"):
        account.api_key.get_secret_value()
    assert "gone" not in repr(account)


@pytest.mark.parametrize(
    ("base_url", "clear"),
    [
        ("http://api.nebulox.io", True),
        ("http://10.0.0.7:8080", True),
        ("http://[2001:db8::1]", True),
        ("https://api.nebulox.io", False),
        ("http://127.0.0.1:8410/nebulox", False),
        ("http://[::1]:8410", False),
        ("http://localhost:8410", False),
    ],
)
def test_a_key_that_leaves_this_machine_in_the_clear_is_warned_about(base_url, clear, invoices, monkeypatch):
    account = Account(name="a", provider="nebulox", base_url=base_url, api_key=SecretStr("a-key"))
    assert account.is_called_in_the_clear() is clear
    check_accounts(load_settings())
    fields = {"provider": "nebulox", "base_url": base_url, "api_key": "a-key"}
    monkeypatch.setenv("INVOICES_ACCOUNTS", json.dumps({"shop": fields}))
    monkeypatch.setattr("workers.cli.doctor.providers.TIMEOUT_SECONDS", 0.01)
    told = [line["detail"] for line in invoices("doctor", "--json").lines if line["cause"] == "plain_http"]
    assert [detail.endswith("shop (base_url)") for detail in told] == [True] * clear
