"""The console's languages. English is written in the templates; another language is a folder of TOML files beside this
one, each a table from the English sentence to its own. A test fails for a sentence without a translation."""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path

from domain.why.sentence import Sentence, in_words

ENGLISH = "en"
LANGUAGES = (ENGLISH, "de")
FOLDER = Path(__file__).parent / "words"
COOKIE = "invoices-language"


@functools.cache
def words_of(language: str) -> Mapping[str, str]:
    """Its sentences by the English ones."""
    found: dict[str, str] = {}
    for file in sorted((FOLDER / language).glob("*.toml")):
        found |= tomllib.loads(file.read_text())
    return found


def translate(language: str, sentence: str) -> str:
    """The sentence in this language; in English where it has none."""
    return sentence if language == ENGLISH else words_of(language).get(sentence, sentence)


def say_in(language: str, sentence: Sentence) -> str:
    """A sentence that was put together from others, as ``domain.why`` says why nothing happens."""
    return in_words(sentence, functools.partial(translate, language), _NUMBERS[language])


_NUMBERS: Mapping[str, Callable[[int], str]] = {
    ENGLISH: "{:,}".format,
    "de": lambda number: f"{number:,}".replace(",", "."),
}


def choose(cookie: str | None, accepted: str) -> str:
    """The language a person chose, or the first known one of an ``Accept-Language`` header."""
    if cookie in LANGUAGES:
        return cookie
    for part in accepted[:500].split(","):
        name = part.partition(";")[0].strip().lower().partition("-")[0]
        if name in LANGUAGES:
            return name
    return ENGLISH
