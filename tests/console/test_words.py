"""The console's sentences: each of a template is there in every language."""

from __future__ import annotations

import ast
import re
import tomllib
from collections import defaultdict

import pytest
from jinja2 import Environment, nodes

from workers.web.console.gate import CLOSED
from workers.web.console.view import FOLDER
from workers.web.console.words import ENGLISH, LANGUAGES, choose, translate, words_of
from workers.web.console.words import FOLDER as WORDS

TEMPLATES = sorted(file.name for file in FOLDER.glob("*.html"))
OTHERS = [language for language in LANGUAGES if language != ENGLISH]


def sentences_of(template):
    """What a template gives `_` as it stands; what it looks up in a table of its own too."""
    tree = Environment(extensions=["jinja2.ext.do"]).parse((FOLDER / template).read_text())
    calls = [call for call in tree.find_all(nodes.Call) if isinstance(call.node, nodes.Name) and call.node.name == "_"]
    constants = [constant for call in calls for argument in call.args for constant in _texts(argument)]
    return {text for text in constants if re.search(r"[A-Za-z]", text)}


def _texts(node):
    if isinstance(node, nodes.Const):
        return [node.value] if isinstance(node.value, str) else []
    if isinstance(node, nodes.Dict):
        return [text for pair in node.items for text in _texts(pair.value)]
    if isinstance(node, nodes.Getitem):
        return _texts(node.node)
    if isinstance(node, nodes.CondExpr):
        return _texts(node.expr1) + (_texts(node.expr2) if node.expr2 is not None else [])
    return []


@pytest.mark.parametrize("language", OTHERS)
@pytest.mark.parametrize("template", TEMPLATES)
def test_every_sentence_of_a_template_is_there_in_every_language(template, language):
    assert sentences_of(template) - set(words_of(language)) == set()


def refusals_of(file):
    """What a part of the console refuses with, as far as it is written out."""
    calls = [node for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Call)]
    refusing = [call for call in calls if isinstance(call.func, ast.Name) and call.func.id in {"Refused", "NotFound"}]
    texts = [one.value for call in refusing for one in call.args if isinstance(one, ast.Constant)]
    return {text for text in texts if isinstance(text, str)}


@pytest.mark.parametrize("language", OTHERS)
def test_every_sentence_of_a_refusal_is_there_in_every_language(language):
    said = {text for file in FOLDER.parent.glob("*.py") for text in refusals_of(file)}

    assert {CLOSED, *said} - set(words_of(language)) == set()


@pytest.mark.parametrize("language", OTHERS)
def test_a_translation_keeps_what_is_put_into_its_sentence(language):
    for sentence, own in words_of(language).items():
        assert sorted(re.findall(r"\{\w*\}|%\(\w+\)s", sentence)) == sorted(re.findall(r"\{\w*\}|%\(\w+\)s", own)), (
            sentence
        )


@pytest.mark.parametrize("language", OTHERS)
def test_a_sentence_that_stands_in_several_files_reads_alike_in_all(language):
    own: dict[str, set[str]] = defaultdict(set)
    for file in sorted((WORDS / language).glob("*.toml")):
        for sentence, text in tomllib.loads(file.read_text(encoding="utf-8")).items():
            own[sentence].add(text)

    assert {sentence: texts for sentence, texts in own.items() if len(texts) > 1} == {}


def test_the_language_is_the_chosen_one_or_the_first_known_one_that_the_browser_asks_for():
    assert choose("de", "en") == "de"
    assert choose("xx", "fr-FR, de-AT;q=0.7, en;q=0.3") == "de"
    assert choose(None, "fr") == "en"
    assert choose(None, "") == "en"


def test_a_sentence_without_a_translation_stays_english():
    assert translate("de", "nobody ever wrote this") == "nobody ever wrote this"
    assert translate("de", "Invoices") == "Rechnungen"
