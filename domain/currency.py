"""How many decimals an amount of a currency may have."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from decimal import Decimal

from domain.money import decimals_of

#: Coins that prices are written in, by the smallest unit their chain knows. USDT and USDC have more on some chains than
#: here; an account whose provider prices in those says so (``price_decimals``).
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

#: Of a currency in neither table (a new coin, "USDTTRC20") and of one without a unit to divide (gold, XAU): what nearly
#: every coin has. Nobody can say that fewer are meant.
UNKNOWN_DECIMALS = 18


@functools.cache
def currency_decimals(currency: str) -> int:
    """By ISO 4217, by the table of coins, else UNKNOWN_DECIMALS. ``currency`` in upper case."""
    units = _minor_units().get(currency)
    return COIN_DECIMALS.get(currency, UNKNOWN_DECIMALS) if units is None else units


def is_currency(name: str) -> bool:
    """Whether it is one of ISO 4217's codes or of the table of coins. ``name`` in upper case."""
    return name in COIN_DECIMALS or name in _minor_units()


@functools.cache
def _minor_units() -> Mapping[str, int]:
    """Read when the first price comes: the standard's own XML takes longer than a command line's start should."""
    from iso4217 import Currency

    return {one.code: units for one in Currency if (units := one.exponent) is not None}


def too_fine(amount: Decimal, currency: str, widened: int = 0) -> int | None:
    """The decimals that ``currency`` has where ``amount`` has more, by value: 19.990 EUR is 19.99. None: it fits.

    ``widened``: so many are taken in any case.
    """
    allowed = max(currency_decimals(currency), widened)
    return allowed if decimals_of(amount) > allowed else None
