"""What a payer's wallet reads from the QR code: a link with the exact amount where the coin, its chain and its address
are known for sure, and otherwise the bare address. Never a guess: a wrong chain or amount is somebody's money."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from domain.money import plain_value
from domain.network import NETWORK_IDS, bare_name, base_units, network_id, payment_uri

_BASE58 = "[1-9A-HJ-NP-Za-km-z]"
_BECH32 = "[02-9ac-hj-np-z]"
_ETHEREUM = NETWORK_IDS["ethereum"]
_EVM_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}")


@dataclass(frozen=True, slots=True)
class Coin:
    """A coin with a scheme of its own that is read as BIP-21 is. ``networks``: the words for its chain."""

    scheme: str
    networks: frozenset[str]
    decimals: int
    address: re.Pattern[str]


#: Litecoin Core and Dogecoin Core, ``src/qt/guiutil.cpp``: BIP-21 under their own names. Bitcoin Cash: CashAddr, whose
#: prefix is the scheme.
COINS: Mapping[str, Coin] = {
    "LTC": Coin(
        "litecoin",
        frozenset({"litecoin", "ltc"}),
        8,
        re.compile(f"[LM3]{_BASE58}{{26,33}}|ltc1{_BECH32}{{6,87}}"),
    ),
    "DOGE": Coin("dogecoin", frozenset({"dogecoin", "doge"}), 8, re.compile(f"[D9A]{_BASE58}{{25,33}}")),
    "BCH": Coin(
        "bitcoincash",
        frozenset({"bitcoin cash", "bch"}),
        8,
        re.compile(f"(?:bitcoincash:)?[qp]{_BECH32}{{41}}"),
    ),
}
_BITCOIN_ADDRESS = re.compile(f"[13]{_BASE58}{{25,34}}|bc1{_BECH32}{{6,87}}")
#: Tokens on Ethereum by their contracts, as Circle and Tether publish them; both have six decimals.
TOKENS: Mapping[str, tuple[str, int]] = {
    "USDC": ("0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48", 6),
    "USDT": ("0xdAC17F958D2ee523a2206206994597C13D831ec7", 6),
}


@dataclass(frozen=True, slots=True)
class Payload:
    """What the code says. ``has_amount``: nobody has to type how much."""

    text: str
    has_amount: bool


def payload(network: str | None, currency: str | None, address: str, amount: Decimal | None) -> Payload:
    """What the code says for this much of a coin, on the chain that the provider names."""
    link = _link(network, (currency or "").strip().upper(), address.strip(), amount)
    return Payload(address, has_amount=False) if link is None else Payload(link, has_amount=True)


def _link(network: str | None, currency: str, address: str, amount: Decimal | None) -> str | None:
    if network is None or amount is None or amount <= 0:
        return None
    if network_id(network) == _ETHEREUM:
        return _on_ethereum(network, currency, address, amount) if _EVM_ADDRESS.fullmatch(address) else None
    if network_id(network) is not None:  # Bitcoin
        return payment_uri(network, currency, address, amount) if _BITCOIN_ADDRESS.fullmatch(address) else None
    coin = COINS.get(currency)
    if coin is None or bare_name(network) not in coin.networks:
        return None
    if not coin.address.fullmatch(address) or base_units(amount, coin.decimals) is None:
        return None
    return f"{coin.scheme}:{address.removeprefix(f'{coin.scheme}:')}?amount={plain_value(amount)}"


def _on_ethereum(network: str, currency: str, address: str, amount: Decimal) -> str | None:
    """By ERC-681: ether by its value in wei, a token by a call of its contract's ``transfer``."""
    if currency not in TOKENS:
        return payment_uri(network, currency, address, amount)
    contract, decimals = TOKENS[currency]
    units = base_units(amount, decimals)
    return None if units is None else f"ethereum:{contract}@1/transfer?address={address}&uint256={units}"
