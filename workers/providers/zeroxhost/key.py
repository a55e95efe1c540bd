"""The account's key, which is a header of every call."""

from __future__ import annotations

from domain.account import Account


def headers_of(account: Account) -> dict[str, str]:
    return {"x-api-key": account.api_key.get_secret_value()}


def secrets_of(account: Account) -> list[str]:
    return [account.api_key.get_secret_value()]
