"""Whether an answer to our request means the id that we sent, even if it spells it in another way."""

from __future__ import annotations

import html
import math
import re
import unicodedata
from decimal import Decimal, InvalidOperation

#: A provider's column may cut an id. None here documents its width, but nobody keeps ids in fewer characters than the
#: digits of a UUID.
SHORTEST_CUT = 32

#: Longer echoes are not compared as texts: an id has at most 128 characters, escaped and decomposed several times that,
#: and composing much longer texts can take very long.
MAX_ECHO = 4096

#: Longer numbers are not compared in other spellings: a double stands for too many of them.
MOST_DIGITS = 18

#: A number as JSON, PHP or JavaScript writes it. Python would take more: underscores, other scripts' digits.
_NUMBER = re.compile(r"[+-]?\d{1,128}(\.\d{0,128})?(e[+-]?\d{1,3})?", re.IGNORECASE | re.ASCII)


def echoes(sent: str, echo: object) -> bool:
    """Whether ``echo`` may be what became of ``sent``: the same text or number, escaped for HTML, composed in another
    way, or cut.

    That is enough, because it answers the request that named ``sent``. "12" and "0012" may both be orders of ours, but
    an answer meant for the other one is caught by the provider's id, which is bound to one invoice only.
    """
    return names(sent, echo) or (isinstance(echo, str) and len(echo) <= MAX_ECHO and _same_text(sent, echo))


def names(ref: str, echo: object) -> bool:
    """Whether an answer names the provider's own id: the same text or number. Nothing looser may bind money."""
    if isinstance(echo, bool) or not isinstance(echo, (str, int, Decimal)):
        return False
    text = str(echo).strip()
    return text == ref.strip() or _same_number(ref.strip(), text)


def ids_meant_by(echo: str) -> list[str]:
    """Our ids that a number in a provider's own message may stand for: the number with leading zeros, and every whole
    number that is the same double. Empty for anything but a number, and for one that is too long to tell.
    """
    value = _whole(echo)
    if value is None:
        return []
    double = float(value)
    gap = max(1, int(math.ulp(double)))
    same = [n for n in range(value - gap, value + gap + 1) if n == value or float(n) == double] if gap > 1 else [value]
    return [str(n).zfill(width) for n in same for width in range(len(str(n)), MOST_DIGITS + 1)]


def numbers_made_of(sent: str) -> list[str]:
    """What a system that takes ids for numbers makes of our id, as far as that differs from it."""
    value = _whole(sent)
    return [] if value is None else sorted({str(value), str(int(float(value)))} - {sent})


def _whole(text: str) -> int | None:
    if not _NUMBER.fullmatch(text):
        return None
    value = Decimal(text)
    return int(value) if 0 <= value < 10**MOST_DIGITS and value == value.to_integral_value() else None


def _same_text(sent: str, echo: str) -> bool:
    wanted = _composed(sent)
    return any(_is_or_begins(wanted, _composed(form)) for form in (echo, html.unescape(echo)))


def _composed(text: str) -> str:
    return unicodedata.normalize("NFC", text).strip()


def _is_or_begins(wanted: str, form: str) -> bool:
    if form == wanted:
        return True
    whole = form.rstrip("\N{REPLACEMENT CHARACTER}")  # a character that was cut in two
    return len(whole) >= SHORTEST_CUT and wanted.startswith(whole)


def _same_number(sent: str, echo: str) -> bool:
    """The same value, or the same double, as a system without long integers would write it."""
    if not (_NUMBER.fullmatch(sent) and _NUMBER.fullmatch(echo)):
        return False
    try:
        if Decimal(sent) == Decimal(echo):
            return True
    except InvalidOperation:  # an exponent out of any range
        return False
    return float(sent) == float(echo) and abs(float(sent)) < float("inf")
