"""How causes word times, numbers and quotations."""

from __future__ import annotations

from datetime import UTC, datetime

from domain.why.sentence import Sentence, say

LONGEST_WORDS = 160
#: Who contradicts where no source is kept.
PROVIDER = "provider"


def at(time: datetime) -> str:
    """``2026-11-29 03:00:07 UTC``."""
    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def times(number: int) -> Sentence:
    """``once``, ``twice``, ``3 times``."""
    known = {1: say("once"), 2: say("twice")}
    return known.get(number) or say("{number} times", number=str(number))


def nth(number: int) -> Sentence:
    """``1st``, ``2nd``, ``11th``."""
    ending = 0 if 10 <= number % 100 <= 20 else number % 10
    told = str(number)
    known = {1: say("{number}st", number=told), 2: say("{number}nd", number=told), 3: say("{number}rd", number=told)}
    return known.get(ending) or say("{number}th", number=told)


def quoted(words: str | None) -> str:
    """What somebody said, in brackets, on one line, not too long. Empty if nothing was said."""
    said = " ".join((words or "").split())
    return f" ({said if len(said) <= LONGEST_WORDS else said[: LONGEST_WORDS - 1] + '…'})" if said else ""


def orders_are(number: int) -> Sentence:
    """``1 order is``, ``2,000 orders are``."""
    return say("{number} order is" if number == 1 else "{number} orders are", number=number)


def named(word: str) -> Sentence:
    """A word out of the data: a status, an anomaly, a source. It is ours, and then has a translation, or anybody's, an
    operator's name: so braces in it mean nothing."""
    return say(word.replace("{", "{{").replace("}", "}}"))
