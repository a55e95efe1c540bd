"""Tells a blockchain transaction's hash from a word or a zero in its place."""

from __future__ import annotations

import re
from typing import TypeGuard

#: Bitcoin, Litecoin, Tron, Monero, XRP, TON: 32 bytes in hex. Ethereum and its relatives write 0x before it; some of
#: those (Starknet, Aptos) leave out leading zeros.
_HEX = re.compile(r"[0-9a-f]{64}|0x[0-9a-f]{60,64}", re.IGNORECASE)
#: Solana and NEAR (base58), TON (base64 of both kinds), Algorand (base32), Cosmos: 32 to 64 bytes in other alphabets.
#: NEAR's is the shortest. UUIDs (36), addresses of Ethereum (42, with 0x) and Tron (34) don't match.
_OTHER = re.compile(r"(?!0x)(?=[^0-9]*[0-9])(?=[^G-Z]*[G-Z])[0-9A-Za-z_+/-]{42,128}={0,2}", re.IGNORECASE)
#: Many of these are between words: a random text of 64 characters has about two of them.
_JOINTS = re.compile(r"[_/+-]")
#: A random hash of 64 hex digits has 12 to 16 different digits; "0x000…1" and "deadbeef…" have few.
_FEWEST_DIFFERENT = 8


def looks_like_transaction(value: object) -> TypeGuard[str]:
    """Whether a provider's field holds a transaction's hash.

    Only a text can. Numbers, booleans, lists, and words such as "null", "pending" or "0x0" mean "none yet".
    """
    if not isinstance(value, str):
        return False
    text = value.strip()
    if len(set(text.lower().removeprefix("0x"))) < _FEWEST_DIFFERENT:
        return False
    if _HEX.fullmatch(text):
        return True
    return bool(_OTHER.fullmatch(text)) and len(_JOINTS.findall(text)) <= len(text) // 8
