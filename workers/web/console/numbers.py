"""Whole numbers that stand in an address or a form, which anybody may have written."""

from __future__ import annotations


def number_of(text: str) -> int | None:
    """The number; None where it is none that a row could have."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= 18 else None
