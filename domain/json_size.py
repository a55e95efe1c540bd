"""How many values a JSON text holds, counted before it is parsed: the text may be anybody's."""

from __future__ import annotations

import re

#: A string, to its end or the text's. Possessive, so no text makes it look at a character twice.
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)', re.DOTALL)


def holds_more_values(text: bytes, limit: int) -> bool:
    """Whether a JSON text has more than ``limit`` values: texts, numbers, objects, lists, and so on.

    Each value but the first comes after a comma, or is the first in an object or list. The cost is at most proportional
    to the length, and next to nothing if there are few such marks even within strings.
    """
    if len(text) <= limit or _marks(text) <= limit:
        return False
    # A quote inside a string needs a backslash. Names are strings too, so there are at most two strings for each value.
    if (text.count(b'"') - text.count(b"\\")) // 2 > 2 * limit:
        return True
    return _marks(_STRING.sub(b"", text)) > limit


def _marks(text: bytes) -> int:
    return text.count(b",") + text.count(b"[") + text.count(b"{")
