"""The coins that stand-ins take: made-up rates, networks, addresses with valid checksums, transaction hashes."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Context, Decimal
from random import Random

#: Precise enough for any price that is accepted (below 1e20, above 1e-20).
_WIDE = Context(prec=80, rounding=ROUND_HALF_UP)

_BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"


@dataclass(frozen=True, slots=True)
class Coin:
    """`rate` is a made-up price of one coin in EUR; `version` is the Base58Check prefix, None for an 0x address."""

    symbol: str
    network: str
    rate: Decimal
    decimals: int
    version: int | None


#: In the order in which 0xhost's stand-in hands them out. Decimals: the chain's own, at most 0xhost's ten.
COINS: dict[str, Coin] = {
    coin.symbol: coin
    for coin in (
        Coin("ETH", "Ethereum Network", Decimal("2508.79"), 10, None),
        Coin("BTC", "Bitcoin Network", Decimal("58012.40"), 8, 0x00),
        Coin("LTC", "Litecoin Network", Decimal("71.33"), 8, 0x30),
        Coin("TRX", "Tron Network", Decimal("0.2417"), 6, 0x41),
        Coin("DOGE", "Dogecoin Network", Decimal("0.1713"), 8, 0x1E),
        Coin("USDT", "Tron Network", Decimal("0.9206"), 6, 0x41),
    )
}


def convert(price: Decimal, coin: Coin, places: int) -> str:
    """The price in coins, rounded to the chain's decimals and written with `places` decimals."""
    smallest = Decimal(1).scaleb(-min(places, coin.decimals))
    carried = max(_WIDE.divide(price, coin.rate).quantize(smallest, context=_WIDE), smallest)
    return f"{carried:.{places}f}"


def make_address(coin: Coin, random: Random) -> str:
    """A new address that passes the chain's checksum (0x addresses in lower case: they carry none)."""
    body = random.randbytes(20)
    if coin.version is None:
        return "0x" + body.hex()
    payload = bytes([coin.version]) + body
    return encode_base58(payload + hashlib.sha256(hashlib.sha256(payload).digest()).digest()[:4])


def make_transaction_hash(coin: Coin | None, random: Random) -> str:
    """64 hexadecimal digits, with 0x in front on Ethereum."""
    prefix = "0x" if coin is not None and coin.version is None else ""
    return prefix + random.randbytes(32).hex()


def encode_base58(raw: bytes) -> str:
    number, text = int.from_bytes(raw, "big"), ""
    while number:
        number, digit = divmod(number, 58)
        text = _BASE58[digit] + text
    zeros = len(raw) - len(raw.lstrip(b"\0"))
    return "1" * zeros + text
