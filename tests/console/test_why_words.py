"""Why nothing happens, and what is planned, in the console's languages: every sentence that can be said."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from domain.evidence import CredentialsRefused, Source
from domain.status import Anomaly, Status
from domain.why import at_account, beside, causes, facts, words
from domain.why.sentence import words_in
from tests.console.test_words import OTHERS
from tests.contracts.store_cases import judge
from workers.store.reads import next_steps
from workers.web.console import next_words
from workers.web.console.words import words_of

TELLING = (at_account, beside, causes, facts, words, next_steps)
#: What `named` is given: words of ours that stand within a sentence.
NAMED = {*Status, *Anomaly, *Source, words.PROVIDER, "open", "probing"}


def patterns_of(module):
    """What `say` is given in a module, each as it stands; `named` says a word of ours."""
    tree = ast.parse(Path(module.__file__).read_text(encoding="utf-8"))
    named = next((node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "named"), None)
    left = [node for node in tree.body if node is not named]
    calls = [one for node in left for one in ast.walk(node) if isinstance(one, ast.Call)]
    return [text for call in calls if _is_say(call) for text in _texts(call.args[0])]


def _is_say(call):
    return isinstance(call.func, ast.Name) and call.func.id == "say"


def _texts(node):
    if isinstance(node, ast.IfExp):
        return _texts(node.body) + _texts(node.orelse)
    assert isinstance(node, ast.Constant), f"line {node.lineno}: written out, so that its translation can be looked for"
    return [node.value]


@pytest.mark.parametrize("language", OTHERS)
@pytest.mark.parametrize("module", TELLING, ids=lambda module: module.__name__)
def test_every_sentence_that_why_can_say_is_there_in_every_language(module, language):
    said = {pattern for pattern in patterns_of(module) if any(letter.isalpha() for letter in words_in(pattern))}

    assert said
    assert said - set(words_of(language)) == set()


@pytest.mark.parametrize("language", OTHERS)
def test_every_word_within_such_a_sentence_is_there_in_every_language(language):
    assert {str(word) for word in NAMED} - set(words_of(language)) == set()


def test_a_german_page_says_in_german_why_and_what_is_planned(ground, scene):
    page = ground.get(f"/console/invoices/{scene.ids['dpkg-48229']}", headers={"accept-language": "de"}).text

    assert "Die Antwort auf ein Anlegen ging verloren" in page
    assert "the answer of a create" not in page.lower()


def test_what_somebody_wrote_within_a_german_sentence_stays_as_it_is_and_is_text(ground, scene):
    judge(scene.store, scene.ids["dpkg-48230"], CredentialsRefused(reason="<b>{no} such key</b>"))
    page = ground.get(f"/console/invoices/{scene.ids['dpkg-48230']}", headers={"accept-language": "de"}).text

    assert "der Anbieter weist den Schlüssel des Kontos nebulox ab" in page.replace("Der Anbieter", "der Anbieter")
    assert "&lt;b&gt;{no} such key&lt;/b&gt;" in page


@pytest.mark.parametrize("language", OTHERS)
def test_what_a_row_of_the_list_says_comes_next_is_there_in_every_language(language):
    tree = ast.parse(Path(next_words.__file__).read_text(encoding="utf-8"))
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef | ast.Assign)]
    texts = {one.value for node in functions for one in ast.walk(node) if isinstance(one, ast.Constant)}
    shown = {text for text in texts if isinstance(text, str) and " " in text.strip() and not text.endswith(".")}

    assert shown - set(words_of(language)) == set()
