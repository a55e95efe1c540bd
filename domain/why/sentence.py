"""Sentences that can be said in another language: English, with what it was put together from."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping


class Sentence(str):
    """English as it stands. Made by ``say``."""

    __slots__ = ("is_whole", "parts", "pattern")

    pattern: str  #: English with a ``{name}`` for each part
    parts: Mapping[str, str | int]  #: others' words as they are, numbers, sentences
    is_whole: bool  #: it begins with a capital and ends with a full stop

    def whole(self) -> Sentence:
        """The same with a capital and a full stop."""
        return _made(self.pattern, self.parts, is_whole=True)

    def renamed(self, names: Mapping[str, str]) -> Sentence:
        """The same where others' words in it are called by these names."""
        parts = {name: _renamed(part, names) for name, part in self.parts.items()}
        return _made(self.pattern, parts, self.is_whole)


def say(pattern: str, /, **parts: str | int) -> Sentence:
    """A sentence or a part of one. Each pattern with a word in it needs its translation: a test reads them all."""
    return _made(pattern, parts, is_whole=False)


def listed(sentences: Iterable[Sentence]) -> Sentence:
    """One after the other, with commas."""
    parts = {f"part{place}": one for place, one in enumerate(sentences)}
    return say(", ".join(f"{{{name}}}" for name in parts), **parts)


def in_words(sentence: Sentence, translate: Callable[[str], str], number: Callable[[int], str]) -> str:
    """The sentence in another language. ``translate`` gives a pattern's own; ``number`` writes numbers."""
    told = {name: _part_in_words(part, translate, number) for name, part in sentence.parts.items()}
    text = translate(sentence.pattern).format_map(told)
    return _completed(text) if sentence.is_whole else text


def _part_in_words(part: str | int, translate: Callable[[str], str], number: Callable[[int], str]) -> str:
    if isinstance(part, Sentence):
        return in_words(part, translate, number)
    return number(part) if isinstance(part, int) else part


def _made(pattern: str, parts: Mapping[str, str | int], is_whole: bool) -> Sentence:
    told = {name: f"{part:,}" if isinstance(part, int) else part for name, part in parts.items()}
    text = pattern.format_map(told)
    made = Sentence(_completed(text) if is_whole else text)
    made.pattern, made.parts, made.is_whole = pattern, parts, is_whole
    return made


def _completed(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."


def _renamed(part: str | int, names: Mapping[str, str]) -> str | int:
    if isinstance(part, Sentence):
        return part.renamed(names)
    return names.get(part, part) if isinstance(part, str) else part


def words_in(pattern: str) -> str:
    """What of a pattern is to be translated."""
    return re.sub(r"\{\w*\}", "", pattern)
