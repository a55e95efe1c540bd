"""The sentences that an invoice's page is put together from in Python are there in every language too."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from workers.web.console import invoice, invoice_actions, payment_panel, pieces, said_lines, timeline, told_lines
from workers.web.console.words import ENGLISH, LANGUAGES, words_of

OTHERS = [language for language in LANGUAGES if language != ENGLISH]
MODULES = [invoice, invoice_actions, payment_panel, pieces, said_lines, timeline, told_lines]
#: Sentences in tables, by the module and the table's name.
TABLES = [
    *invoice.DONE.values(),
    *invoice.FIELDS.values(),
    *timeline.ACTS.values(),
    *pieces._MADE.values(),
    *pieces._SAID.values(),
    *(badge for badge, _ in said_lines._BADGES.values()),
    *said_lines._CALLED.values(),
    *(text for _, text, _ in told_lines._STATES),
    *(f"Mark as {status}" for status in ("paid", "failed", "refunded", "cancelled")),
    *("evidence", "applied", "contradiction", "payment", "refund", "mark", "create", "clock", "stream", "webhook"),
]


def sentences_of(module):
    """What it hands to ``words``, and what it heads things with."""
    tree = ast.parse(Path(module.__file__).read_text())
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "words":
            found |= texts_in(node.args[0])
        if isinstance(node, ast.keyword) and node.arg == "title":
            found |= texts_in(node.value)
        if isinstance(node, ast.FunctionDef) and node.name in {"_heading", "_note"}:
            found |= {text for text in texts_in(node) if " " in text or text == "Received"}
    return {text for text in found if any(letter.isalpha() for letter in text)}


def texts_in(tree):
    """Whole sentences: parts of formatted text are none."""
    formatted = {
        id(part)
        for node in ast.walk(tree)
        if isinstance(node, (ast.JoinedStr, ast.Call)) and not is_words(node)
        for part in ast.walk(node)
    }
    return {
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in formatted
    }


def is_words(node):
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "words"


@pytest.mark.parametrize("language", OTHERS)
@pytest.mark.parametrize(
    "module",
    [invoice, invoice_actions, payment_panel, pieces, said_lines, timeline, told_lines],
    ids=lambda one: one.__name__,
)
def test_every_sentence_of_a_module_is_there_in_every_language(module, language):
    assert sentences_of(module) - set(words_of(language)) == set()


@pytest.mark.parametrize("language", OTHERS)
def test_every_sentence_of_a_table_is_there_in_every_language(language):
    assert set(TABLES) - set(words_of(language)) == set()
