"""Sentences that can be said in another language."""

from __future__ import annotations

import pytest

from domain.exact_json import read_json, write_json
from domain.why import Cause, Why
from domain.why.cause import why_fields
from domain.why.sentence import in_words, listed, say
from domain.why.words import named

GERMAN = {"{what} waits for {name}, {number} times": "{what} wartet {number}-mal auf {name}", "it": "sie"}
SENTENCE = say("{what} waits for {name}, {number} times", what=say("it"), name="{ep_1} & <b>", number=1234)


def german(sentence):
    return in_words(sentence, lambda pattern: GERMAN.get(pattern, pattern), lambda number: f"{number}")


def test_a_sentence_is_its_english():
    assert SENTENCE == "it waits for {ep_1} & <b>, 1,234 times"
    assert SENTENCE.whole() == "It waits for {ep_1} & <b>, 1,234 times."


def test_another_language_orders_the_parts_as_it_likes_and_others_words_stay():
    assert german(SENTENCE) == "sie wartet 1234-mal auf {ep_1} & <b>"
    assert german(SENTENCE.whole()) == "Sie wartet 1234-mal auf {ep_1} & <b>."


def test_what_has_no_translation_stays_english():
    assert german(listed([say("it"), say("nobody ever wrote this")])) == "sie, nobody ever wrote this"


@pytest.mark.parametrize("word", ["{{ 7*7 }}{% raw %}", "{", "}", "{0}", "{name}", "{a.b}", "{x!r:>9}", "paid"])
def test_a_word_out_of_the_data_stands_as_it_is_whatever_is_in_it(word):
    sentence = say("the {source} says so", source=named(word)).whole()

    assert sentence == f"The {word} says so."
    assert german(sentence) == f"The {word} says so."


def test_what_is_named_in_a_sentence_can_be_called_otherwise():
    outer = say("{one}; then", one=say("{type} to {endpoint}", type="paid", endpoint="ep_1")).whole()

    assert outer.renamed({"ep_1": "shop.example"}) == "Paid to shop.example; then."


def test_as_json_it_is_its_english():
    why = Why(cause=Cause.IN_CALL, text=SENTENCE.whole(), next=SENTENCE)

    assert read_json(write_json(why_fields(why)))["text"] == str(SENTENCE.whole())
    assert read_json(write_json(why_fields(why)))["next"] == str(SENTENCE)
