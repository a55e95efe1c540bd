"""How much a JSON text would make of itself, counted before it is parsed: the text may be anybody's."""

from __future__ import annotations

import re

#: A string, to its end or to the text's. Possessive: no text makes it look at a character twice.
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)', re.DOTALL)


def holds_more_values(text: bytes, limit: int) -> bool:
    """Whether there are more than ``limit`` values in a JSON text: texts, numbers, objects, lists, and so on.

    Each but the first comes after a comma, or is the first one in an object or list. The cost is at most proportional
    to the length, and next to nothing for a text that has few such marks even within its strings.
    """
    if _marks(text) <= limit:
        return False
    # Every quote that is none needs a backslash. Objects' names are strings too: two for each value at most.
    if (text.count(b'"') - text.count(b"\\")) // 2 > 2 * limit:
        return True
    return _marks(_STRING.sub(b"", text)) > limit


def _marks(text: bytes) -> int:
    return text.count(b",") + text.count(b"[") + text.count(b"{")
