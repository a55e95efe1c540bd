"""Prices in units that their currencies have."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from pydantic import ValidationError

from domain.account import Account
from domain.currency import UNKNOWN_DECIMALS, currency_decimals
from domain.order import OrderError, check_price, parse_order


def account(**settings: Any) -> Account:
    fields = {"name": "shop", "provider": "nebulox", "base_url": "https://provider.test", "api_key": "key"}
    return Account.model_validate(fields | settings)


def check(price: Any, currency: str, **settings: Any) -> None:
    order = parse_order({"account": "shop", "order_id": "o-1", "price": price, "currency": currency})
    check_price(order, account(**settings))


@pytest.mark.parametrize(
    ("currency", "decimals"),
    [
        *[(code, 2) for code in ("EUR", "USD", "GBP", "CHF", "PLN", "UAH", "TRY", "INR", "MGA", "MRU", "HUF", "XCG")],
        *[(code, 0) for code in ("JPY", "KRW", "VND", "CLP", "ISK", "UGX", "XOF", "XAF", "XPF", "PYG", "RWF", "SATS")],
        *[(code, 3) for code in ("KWD", "BHD", "TND", "JOD", "OMR", "IQD", "LYD")],
        *[(code, 4) for code in ("CLF", "UYW")],
        *[("BTC", 8), ("LTC", 8), ("DOGE", 8), ("ETH", 18), ("TRX", 6), ("USDT", 6), ("USDC", 6), ("XMR", 12)],
        *[(code, UNKNOWN_DECIMALS) for code in ("XAU", "XDR", "XXX", "USDTTRC20", "WHATEVER")],
    ],
)
def test_each_currency_has_its_decimals(currency, decimals):
    assert currency_decimals(currency) == decimals
    fits, too_fine = ("1." + "0" * (count - 1) + "1" if count else "1" for count in (decimals, decimals + 1))
    check(fits, currency)
    with pytest.raises(OrderError, match=f"^price: {currency} takes "):
        check(too_fine, currency)


@pytest.mark.parametrize("price", ["19.99", "19.990", "19.9900000000", "1e3", 1000, Decimal("1E+3"), "0.01", "1.0"])
def test_zeros_at_the_end_are_no_decimals_and_the_digits_are_kept(price):
    check(price, "eur")
    order = parse_order({"account": "shop", "order_id": "o-1", "price": price, "currency": "EUR"})
    assert order.price == Decimal(price)
    assert isinstance(price, str) is False or "e" in price or str(order.price) == price


@pytest.mark.parametrize("price", ["0.30000000000000004", "19.999", "0.001", Decimal("1e-3"), "100.005"])
def test_a_price_finer_than_a_cent_is_refused_by_name(price):
    with pytest.raises(OrderError) as caught:
        check(price, "EUR")
    assert str(caught.value) == "price: EUR takes at most 2 decimals (more by the account's price_decimals)"


def test_a_yen_has_no_decimals():
    check("100.00", "jpy")
    with pytest.raises(OrderError, match=r"^price: JPY takes no decimals"):
        check("100.5", "jpy")


def test_an_account_widens_and_never_narrows():
    check("19.999", "EUR", price_decimals=3)
    check("1.12345678", "BTC", price_decimals=3)
    with pytest.raises(OrderError, match=r"^price: EUR takes at most 3 decimals"):
        check("19.9999", "EUR", price_decimals=3)


@pytest.mark.parametrize("value", [-1, 31, 1.5, "many", None])
def test_price_decimals_is_a_whole_number_that_amounts_can_have(value):
    with pytest.raises(ValidationError):
        account(price_decimals=value)


def test_an_order_without_a_price_has_none_to_check():
    check_price(parse_order({"account": "shop", "order_id": "o-1", "currency": "EUR"}), account())
