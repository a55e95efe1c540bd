"""What the QR code says: by BIP-321, ERC-681 and the coins' own schemes, exact, and nothing but the address where
anything is uncertain."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.money import format_amount
from workers.web.console.payment_uri import TOKENS, payload

#: The addresses of BIP-321's and ERC-681's own examples.
BITCOIN = "175tWpb8K1S7NmH4Zx6rewF9WQrcZv245W"
SEGWIT = "bc1qufgy354j3kmvuch987xe4s40836x3h0lg8f5n2"
ETHEREUM = "0xfb6916095ca1df60bb79Ce92ce3ea74c37c5d359"
LITECOIN = "LT2KVaAy1ppRuxRgrS5RNU3vBsy7RibPeA"
DOGECOIN = "DH5yaieqoZN36fDVciNyRueRGvGLR3mr7L"
MONERO = "46BeWrHpwXmHDpDEUmZBWZfoQpdc6HaERCNmx1pEYL2rAcuwufPN9rXHHtyUA4QVy66qeFQkn6sfK8aHYjA3jk3o1Bv16em"
CASH = "bitcoincash:qpm2qsznhks23z7629mms6s4cwef74vcwvy22gdx6a"


@pytest.mark.parametrize(
    ("network", "currency", "address", "amount", "text"),
    [
        ("Bitcoin", "BTC", BITCOIN, "20.3", f"bitcoin:{BITCOIN}?amount=20.3"),  # BIP-321's example
        ("Bitcoin", "BTC", BITCOIN, "50.00", f"bitcoin:{BITCOIN}?amount=50"),
        ("bitcoin network", "btc", SEGWIT, "0.00471833", f"bitcoin:{SEGWIT}?amount=0.00471833"),
        (
            "Ethereum",
            "ETH",
            ETHEREUM,
            "2.014",
            f"ethereum:{ETHEREUM}@1?value=2014000000000000000",
        ),  # ERC-681's
        ("Ethereum Network", "ETH", ETHEREUM, "0.0358619204", f"ethereum:{ETHEREUM}@1?value=35861920400000000"),
        (
            "ERC20",
            "USDC",
            ETHEREUM,
            "1.5",
            f"ethereum:0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48@1/transfer?address={ETHEREUM}&uint256=1500000",
        ),
        (
            "Ethereum",
            "usdt",
            ETHEREUM,
            "0.000001",
            f"ethereum:0xdAC17F958D2ee523a2206206994597C13D831ec7@1/transfer?address={ETHEREUM}&uint256=1",
        ),
        ("Litecoin", "LTC", LITECOIN, "1.25", f"litecoin:{LITECOIN}?amount=1.25"),
        ("Dogecoin Network", "DOGE", DOGECOIN, "100", f"dogecoin:{DOGECOIN}?amount=100"),
        ("Bitcoin Cash", "BCH", CASH, "0.1", f"{CASH}?amount=0.1"),
        ("BCH", "BCH", CASH.partition(":")[2], "0.1", f"{CASH}?amount=0.1"),
    ],
)
def test_a_known_coin_has_a_link_with_the_exact_amount(network, currency, address, amount, text):
    told = payload(network, currency, address, Decimal(amount))

    assert (told.text, told.has_amount) == (text, True)


@pytest.mark.parametrize(
    ("network", "currency", "address", "amount"),
    [
        (None, "BTC", BITCOIN, "1"),
        ("Bitcoin", None, BITCOIN, "1"),
        ("Bitcoin", "BTC", BITCOIN, None),
        ("Bitcoin", "BTC", BITCOIN, "0"),
        ("Bitcoin", "BTC", BITCOIN, "-1"),
        ("Bitcoin", "BTC", BITCOIN, "0.000000001"),  # finer than a satoshi
        ("Bitcoin", "BTC", "tb1qw508d6qejxtdg4y5r3zarvary0c5xw7kxpjzsx", "1"),  # a test network's
        ("Bitcoin", "BTC", ETHEREUM, "1"),  # another chain's address
        ("Bitcoin", "BTC", f"{BITCOIN}?amount=9", "1"),
        ("Bitcoin", "ETH", BITCOIN, "1"),
        ("Lightning", "BTC", BITCOIN, "1"),
        ("Ethereum", "ETH", BITCOIN, "1"),
        ("Ethereum", "DAI", ETHEREUM, "1"),  # its contract is not in the table
        ("Ethereum", "USDC", ETHEREUM, "0.0000001"),
        ("Tron", "USDT", "TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t", "1"),
        ("Polygon", "USDC", ETHEREUM, "1"),  # the same contract means nothing there
        ("BEP20", "ETH", ETHEREUM, "1"),
        ("Ethereum", "LTC", LITECOIN, "1"),
        ("Litecoin", "LTC", BITCOIN, "1"),
        ("Monero", "XMR", MONERO, "1"),
        ("Ethereum", "ETH", "javascript:alert(1)", "1"),
    ],
)  # fmt: skip
def test_anything_uncertain_leaves_the_bare_address(network, currency, address, amount):
    told = payload(network, currency, address, None if amount is None else Decimal(amount))

    assert (told.text, told.has_amount) == (address, False)


amounts = st.decimals(min_value="0.00000001", max_value="20999999", places=8)


@given(amounts)
def test_bitcoins_come_back_digit_for_digit(amount):
    text = payload("Bitcoin", "BTC", BITCOIN, amount).text

    told = text.partition("?amount=")[2]
    assert Decimal(told) == amount
    assert "e" not in told.lower()


@given(st.integers(1, 10**30))
def test_wei_come_back_digit_for_digit(wei):
    amount = Decimal(f"{wei // 10**18}.{wei % 10**18:018}")
    text = payload("Ethereum", "ETH", ETHEREUM, amount).text

    assert text == f"ethereum:{ETHEREUM}@1?value={wei}"


@given(st.sampled_from(sorted(TOKENS)), st.integers(1, 10**20))
def test_a_tokens_smallest_units_come_back_digit_for_digit(token, units):
    amount = Decimal(f"{units // 10**6}.{units % 10**6:06}")

    assert payload("ERC20", token, ETHEREUM, amount).text.endswith(f"&uint256={units}")


@given(st.decimals(min_value="0.000000001", max_value="1000", places=9).filter(lambda one: one % Decimal("1e-8")))
def test_an_amount_that_is_finer_than_the_coin_is_never_rounded(amount):
    told = payload("Litecoin", "LTC", LITECOIN, amount)

    assert not told.has_amount
    assert format_amount(amount) not in told.text
