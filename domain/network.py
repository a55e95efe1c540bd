"""Networks by their CAIP-2 id where one is known, and payment links that wallets understand. Never a guess."""

from __future__ import annotations

from decimal import Decimal, localcontext
from urllib.parse import quote

from domain.money import format_amount

#: The providers' words, in lower case, for the networks that have a CAIP-2 id (chain ids: EIP-155; BIP-122 genesis).
NETWORK_IDS = {
    "ethereum network": "eip155:1",
    "ethereum": "eip155:1",
    "erc20": "eip155:1",
    "bitcoin": "bip122:000000000019d6689c085ae165831e93",
    "bitcoin network": "bip122:000000000019d6689c085ae165831e93",
    "btc-chain": "bip122:000000000019d6689c085ae165831e93",
}

WEI_PER_ETHER = Decimal(10) ** 18


def network_id(network: str | None) -> str | None:
    """The CAIP-2 id of a provider's word for a network; None where the word is not known for sure."""
    return NETWORK_IDS.get(network.strip().lower()) if network else None


def payment_uri(network: str | None, currency: str | None, address: str | None, amount: Decimal | None) -> str | None:
    """A wallet's link: BIP-321 for BTC on Bitcoin, ERC-681 for ETH on Ethereum (value in wei); else None."""
    chain = network_id(network)
    if not address or amount is None or not currency:
        return None
    if chain == NETWORK_IDS["bitcoin"] and currency.upper() == "BTC":
        return f"bitcoin:{quote(address)}?amount={format_amount(amount)}"
    if chain == "eip155:1" and currency.upper() == "ETH":
        with localcontext(prec=100):  # the default of 28 digits would round
            wei = amount * WEI_PER_ETHER
            whole = wei.to_integral_value()
        if wei == whole:
            return f"ethereum:{quote(address)}@1?value={format_amount(whole)}"
    return None
