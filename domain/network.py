"""Networks' CAIP-2 ids, where known for sure, and payment links for wallets. Never a guess."""

from __future__ import annotations

import re
from decimal import Decimal, localcontext
from urllib.parse import quote

from domain.money import format_amount, plain_value

#: CAIP-2 ids (EIP-155: chain id; BIP-122: genesis block) by the providers' words for networks, in lower case.
NETWORK_IDS = {
    "ethereum network": "eip155:1",
    "ethereum": "eip155:1",
    "erc20": "eip155:1",
    "bitcoin": "bip122:000000000019d6689c085ae165831e93",
    "bitcoin network": "bip122:000000000019d6689c085ae165831e93",
    "btc-chain": "bip122:000000000019d6689c085ae165831e93",
}

#: Names of networks, with or without an id here, in lower case and without "network" or "chain".
NAMES = frozenset({
    "algorand", "aptos", "arbitrum", "avalanche", "base", "bep20", "bitcoin", "bitcoin cash", "bnb", "bnb smart", "bsc",
    "btc", "cardano", "cosmos", "dash", "dogecoin", "erc20", "eth", "ethereum", "ethereum classic", "kaspa", "litecoin",
    "ltc", "monero", "near", "optimism", "polkadot", "polygon", "ripple", "solana", "spl", "stellar", "sui", "tezos",
    "ton", "trc20", "tron", "trx", "xrp", "zcash",
})  # fmt: skip
_CALLED = re.compile(r"[ -](?:network|chain)\Z")

ETHER_DECIMALS = 18
BITCOIN_DECIMALS = 8


def network_id(network: str | None) -> str | None:
    """The CAIP-2 id for a provider's word for a network; None if that is not known for sure."""
    return NETWORK_IDS.get(network.strip().lower()) if network else None


def is_network(word: str) -> bool:
    """Whether the word is a network's name."""
    return bare_name(word) in NAMES


def bare_name(word: str) -> str:
    """A network's name in lower case, without "network" or "chain" behind it."""
    return _CALLED.sub("", word.strip().lower())


def payment_uri(network: str | None, currency: str | None, address: str | None, amount: Decimal | None) -> str | None:
    """A link for wallets: BIP-321 for BTC on Bitcoin (amount in BTC), ERC-681 for ETH on Ethereum (value in wei).

    None for any other coin, and for an amount finer than the coin's smallest unit: wallets would refuse or round it.
    """
    if not address or not currency or amount is None or amount <= 0:
        return None
    chain = network_id(network)
    if chain == NETWORK_IDS["bitcoin"] and currency.upper() == "BTC":
        satoshi = base_units(amount, BITCOIN_DECIMALS)
        return f"bitcoin:{quote(address)}?amount={plain_value(amount)}" if satoshi else None
    if chain == NETWORK_IDS["ethereum"] and currency.upper() == "ETH":
        wei = base_units(amount, ETHER_DECIMALS)
        return f"ethereum:{quote(address)}@1?value={wei}" if wei else None
    return None


def base_units(amount: Decimal, decimals: int) -> str | None:
    """The amount in the coin's smallest units; None if it is finer than those."""
    with localcontext(prec=100):  # the default, 28 digits, would round
        units = amount.scaleb(decimals)
        whole = units.to_integral_value()
        return format_amount(whole) if units == whole else None
