"""Characters that change what a terminal, a log or a reader of lines shows, without being seen themselves."""

from __future__ import annotations

import re

#: Without C0: JSON encoders and our tables escape it themselves, and terminals' colours are made of it.
_CONTROL = "\x7f-\x9f"
_LINES = "\u2028\u2029"
_BIDI = "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
_JOINERS = "\u200c\u200d"  # parts of Persian words and of emoji: ids may have them
_INVISIBLE = (
    "\u00ad\u0600-\u0605\u06dd\u070f\u0890\u0891\u08e2\u180e\u200b\u2060-\u2065\u206a-\u206f\ufeff\ufff9-\ufffb"
    "\U000110bd\U000110cd\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0001\U000e0020-\U000e007f"
)
_SURROGATES = "\ud800-\udfff"

_UNSAFE = re.compile(f"[{_CONTROL}{_LINES}{_BIDI}{_JOINERS}{_INVISIBLE}{_SURROGATES}]")
_UNSAFE_AND_C0 = re.compile(f"[\x00-\x08\x0b-\x1f{_UNSAFE.pattern[1:]}")

#: What an id, a name or a code must not have in it, and what to call it.
_MEANINGLESS = (
    (re.compile(f"[\x00-\x1f{_CONTROL}]"), "control characters"),
    (re.compile(f"[{_LINES}]"), "line separators"),
    (re.compile(f"[{_BIDI}]"), "characters that change the direction of text"),
    (re.compile(f"[{_INVISIBLE}]"), "characters that can't be seen"),
    (re.compile(f"[{_SURROGATES}]"), "halves of characters"),
)

#: The same for JSON Schema, except for characters that not every regular expression can name.
MEANINGFUL = (
    r"^[^\u0000-\u001f\u007f-\u009f\u2028\u2029\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
    r"\u00ad\u0600-\u0605\u06dd\u070f\u0890\u0891\u08e2\u180e\u200b\u2060-\u2065\u206a-\u206f\ufeff\ufff9-\ufffb]*$"
)


def escape(text: str) -> str:
    """The text with each such character written like ``\\u202e``. JSON keeps its meaning."""
    return text if text.isascii() and "\x7f" not in text else _UNSAFE.sub(_escaped, text)


def escape_all(text: str) -> str:
    """``escape`` for a text without colours: control characters too, except for tabs and line feeds."""
    return _UNSAFE_AND_C0.sub(_escaped, text)


def one_line(text: str, longest: int) -> str:
    """Somebody else's words on one line: printable characters only (so no lone surrogates), single spaces, bounded."""
    printable = "".join(character if character.isprintable() else " " for character in text[: 4 * longest])
    return " ".join(printable.split())[:longest]


def why_meaningless(text: str) -> str | None:
    """What a text has in it that an id must not have, with the character; None: it can be an id."""
    if text.isascii() and text.isprintable():
        return None
    for pattern, what in _MEANINGLESS:
        found = pattern.search(text)
        if found:
            return f"{what} (U+{ord(found[0]):04X})"
    return None


def _escaped(found: re.Match[str]) -> str:
    units = found[0].encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[i]:02x}{units[i + 1]:02x}" for i in range(0, len(units), 2))
