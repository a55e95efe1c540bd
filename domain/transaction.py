"""Tells a blockchain transaction's hash from a word or a zero in its place."""

from __future__ import annotations

import re
from typing import TypeGuard

_PREFIX = re.compile(r"0x", re.IGNORECASE)
_HEX = re.compile(r"[0-9a-f]+", re.IGNORECASE)
#: Without 0x before it, fewer digits are rather a flag or a counter.
_FEWEST_DIGITS = 3
#: Solana and NEAR (base58), TON (base64 of both kinds), Algorand (base32), and whatever else a provider calls by: one
#: word with a digit in it. "pending" and "N/A" have none.
_OTHER = re.compile(r"(?=[^0-9]*[0-9])[0-9A-Z_+/-]+={0,2}", re.IGNORECASE)
#: Many of these are between words: a random text of 64 characters has about two of them.
_JOINTS = re.compile(r"[_/+-]")
_MOST_JOINTS = 2  #: of a short text


def looks_like_transaction(value: object) -> TypeGuard[str]:
    """Whether a provider's field names a transaction.

    No length and no alphabet is asked for: no document says which chains a provider takes. Only a text can name one.
    Numbers, booleans, lists, zeros, and words such as "null" or "pending" mean "none yet".
    """
    if not isinstance(value, str):
        return False
    text = value.strip()
    prefix = _PREFIX.match(text)
    digits = text[prefix.end() :] if prefix else text
    if not digits.strip("0-_"):
        return False
    if _HEX.fullmatch(digits):
        return prefix is not None or len(digits) >= _FEWEST_DIGITS
    return bool(_OTHER.fullmatch(text)) and len(_JOINTS.findall(text)) <= max(_MOST_JOINTS, len(text) // 8)
