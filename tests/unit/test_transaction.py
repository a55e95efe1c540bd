"""What counts as a transaction's hash."""

from __future__ import annotations

import random
import string

import pytest

from domain.transaction import looks_like_transaction

HEX = "4a5e1e4baab89f3a32518a88c31bc87f618f76673e2cc77ab2127b7afdeda33b"


@pytest.mark.parametrize(
    "value",
    [
        HEX,
        HEX.upper(),
        f" {HEX}\n",
        "0x5c504ed432cb51138bcf09aa5e8a410dd4a1e204ef84bfed1be16dfba1b22060",
        "0x" + HEX[:62],  # Starknet leaves out leading zeros
        "5VERv8NMvzbJMEkV8xnrLkEaWRtSz9CosKDYjCJjBRnbJLgp8uirBgmQpjKhoR4tjF3ZpRzrFmBV6UjKdiSZkQUW",  # Solana
        "4sGjMW1sUnHzSxGspuhpqLDx6wiyjNtZAMdL4VZHirAn",  # NEAR
        "TZ2MRWZQ5TA4YAJTXVQWAVMEEFDRHZOHBLLXKYQBC6BZRWQH4ECA",  # Algorand
        "rsI9rH1xU2vRaQYw5kWvuIzVE0lYZ6vPTgBcsZ7FfZk=",  # TON
        "rsI9rH1xU2vRaQYw5kWvuIzVE0lYZ6vPTgBcsZ7F-_k",
    ],
)
def test_hashes_of_the_known_chains_look_like_transactions(value):
    assert looks_like_transaction(value)


def test_a_random_hash_of_any_chain_looks_like_a_transaction():
    dice = random.Random(7)
    base58 = "".join(sorted(set(string.ascii_letters + string.digits) - set("0OIl")))
    for _ in range(2000):
        assert looks_like_transaction(dice.randbytes(32).hex())
        assert looks_like_transaction("".join(dice.choices(base58, k=88)))


@pytest.mark.parametrize(
    "value",
    [
        *("0xabc", "0xAbC123", "0x1", "abc123", "deadbeef", "tx1", "tx-hash-1", "0x5c504ed432cb51138bcf"),
        *("a" * 64, "0x" + "f" * 64, "ab" * 32, "deadbeef" * 8, "0x" + "0" * 63 + "1", HEX[:63], "0x" + HEX + "0"),
        "TDD97yguPESTpcrJMqU6h2ozZbibv4Vaqm",
        "5763d0d0-ca37-11f0-8cdf-525400792197",
    ],
)
def test_whatever_else_a_provider_names_one_by_counts_too(value):
    """No document says what it looks like. A sandbox's, or a test's, is short or has few digits."""
    assert looks_like_transaction(value)


@pytest.mark.parametrize(
    "value",
    [
        *(None, True, False, 0, 1, 7.5, [], [HEX], {}, {"hash": HEX}, int(HEX, 16)),
        *("", " ", "null", "NULL", "none", "undefined", "NaN", "N/A", "-", "--", "0", "1", "00", "0x", "0x0", "0X00"),
        *("false", "true", "pending", "Waiting", "unknown", "unconfirmed", "not yet", "no hash 1", "tx_hash", "."),
        *("0" * 64, "0x" + "0" * 64, "-" * 64, "x" * 64, "00000000-0000-0000-0000-000000000000"),
        *("waiting_for_the_transaction_to_be_confirmed_1", "no-transaction-has-been-found-for-this-payment-4"),
        "NoTransactionHashIsAvailableForThisPaymentYet",
        *(f"{HEX} {HEX}", f"https://etherscan.io/tx/0x{HEX}", HEX[:32] + "\x00" + HEX[:31]),
    ],
    ids=repr,
)
def test_placeholders_are_no_transactions(value):
    assert not looks_like_transaction(value)
