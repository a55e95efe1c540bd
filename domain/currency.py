"""How many decimals an amount in a currency may have."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from decimal import Decimal

from domain.money import decimals_of

#: Coins that prices are written in, with the decimals of their chain's smallest unit. USDT and USDC have more on some
#: chains; an account whose provider prices in those sets ``price_decimals``.
COIN_DECIMALS: Mapping[str, int] = {
    **dict.fromkeys(("BTC", "LTC", "DOGE", "BCH", "DASH", "ZEC", "KAS", "APT", "HBAR", "ICP"), 8),
    **dict.fromkeys(
        ("ETH", "ETC", "BNB", "POL", "MATIC", "AVAX", "DAI", "SHIB", "LINK", "UNI", "ARB", "OP", "FIL"), 18
    ),
    **dict.fromkeys(("USDT", "USDC", "TRX", "XRP", "ADA", "ATOM", "ALGO", "XTZ"), 6),
    **dict.fromkeys(("SOL", "TON", "SUI", "NOT"), 9),
    "XMR": 12,
    "DOT": 10,
    "XLM": 7,
    "NEAR": 24,
    "SATS": 0,
}

#: For a currency in neither table (a new coin, "USDTTRC20") and one without a smallest unit (gold, XAU): hardly a coin
#: has more, and nobody can say that fewer are meant.
UNKNOWN_DECIMALS = 18


@functools.cache
def currency_decimals(currency: str) -> int:
    """By ISO 4217, by the table of coins, otherwise UNKNOWN_DECIMALS. ``currency`` in upper case."""
    units = _minor_units().get(currency)
    return COIN_DECIMALS.get(currency, UNKNOWN_DECIMALS) if units is None else units


def is_currency(name: str) -> bool:
    """Whether it is one of ISO 4217's codes or of the table of coins. ``name`` in upper case."""
    return name in COIN_DECIMALS or name in _minor_units()


@functools.cache
def _minor_units() -> Mapping[str, int]:
    """Read with the first price: the standard's XML would slow the start of every command."""
    from iso4217 import Currency

    return {one.code: units for one in Currency if (units := one.exponent) is not None}


def too_fine(amount: Decimal, currency: str, widened: int = 0) -> int | None:
    """How many decimals ``currency`` allows, if ``amount`` has more; None: it fits. By value: 19.990 EUR is 19.99.

    ``widened``: this many are allowed in any case.
    """
    allowed = max(currency_decimals(currency), widened)
    return allowed if decimals_of(amount) > allowed else None
