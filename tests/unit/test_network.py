"""Payment links that wallets understand (BIP-321, ERC-681), and none where that would be a guess."""

from __future__ import annotations

from decimal import Decimal

import pytest

from domain.network import network_id, payment_uri

BITCOIN = "bip122:000000000019d6689c085ae165831e93"


@pytest.mark.parametrize(
    ("word", "chain"),
    [
        ("Ethereum Network", "eip155:1"),
        ("ERC20", "eip155:1"),
        (" ethereum ", "eip155:1"),
        ("Bitcoin", BITCOIN),
        ("BTC-CHAIN", BITCOIN),
        ("Binance Smart Chain", None),
        ("Litecoin", None),
        ("", None),
        (None, None),
    ],
)
def test_a_providers_word_has_a_chain_id_only_where_it_is_known_for_sure(word, chain):
    assert network_id(word) == chain


@pytest.mark.parametrize(
    ("network", "currency", "amount", "uri"),
    [
        ("Bitcoin", "BTC", "0.001", "bitcoin:ADDR?amount=0.001"),
        ("Bitcoin", "btc", "0.0010000000", "bitcoin:ADDR?amount=0.001"),  # 0xhost writes ten decimals, wallets read 8
        ("Bitcoin", "BTC", "1E-8", "bitcoin:ADDR?amount=0.00000001"),
        ("Bitcoin", "BTC", "100", "bitcoin:ADDR?amount=100"),
        ("Bitcoin", "BTC", "0.000000001", None),  # less than a satoshi
        ("Ethereum Network", "ETH", "0.0358619204", "ethereum:ADDR@1?value=35861920400000000"),
        ("ERC20", "ETH", "1E-18", "ethereum:ADDR@1?value=1"),
        (
            "Ethereum",
            "ETH",
            "123456789012.123456789012345678",
            "ethereum:ADDR@1?value=123456789012123456789012345678",
        ),
        ("Ethereum", "ETH", "0.0000000000000000001", None),  # less than a wei
        ("Ethereum", "USDT", "1", None),  # a token is paid through its contract
        ("Bitcoin", "ETH", "1", None),
        ("Litecoin", "LTC", "1", None),
        ("Bitcoin", "BTC", "0", None),
        ("Bitcoin", None, "1", None),
        (None, "BTC", "1", None),
    ],
)
def test_a_payment_link_follows_the_wallets_standards(network, currency, amount, uri):
    assert payment_uri(network, currency, "ADDR", Decimal(amount)) == uri


@pytest.mark.parametrize(("address", "amount"), [(None, Decimal(1)), ("", Decimal(1)), ("ADDR", None)])
def test_without_an_address_or_an_amount_there_is_no_link(address, amount):
    assert payment_uri("Bitcoin", "BTC", address, amount) is None


def test_an_address_cannot_smuggle_anything_into_the_link():
    assert payment_uri("Bitcoin", "BTC", "ADDR?amount=9&x=", Decimal(1)) == "bitcoin:ADDR%3Famount%3D9%26x%3D?amount=1"
