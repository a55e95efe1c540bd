"""What beancount's own `bean-check` says of the books, in an environment of its own (tests/books/environment.sh)."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.beancount import HEAD, transaction
from domain.instants import read_zone
from tests.books.lines import LINE, NAMES, lines

BEAN_CHECK = Path(__file__).parents[2] / ".venv" / "beancount" / "bin" / "bean-check"
ZONE = read_zone("Europe/Berlin")
KEYS = ["cart", "note", "a b", "ünï"]

pytestmark = pytest.mark.skipif(not BEAN_CHECK.exists(), reason="beancount is not here: tests/books/environment.sh")


def checked(tmp_path, *files):
    """What it says of a ledger that includes these."""
    for number, found in enumerate(files):
        text = HEAD + "".join(transaction(line, ZONE, KEYS) for line in found)
        (tmp_path / f"{number}.beancount").write_text(text, encoding="utf-8")
    whole = tmp_path / "whole.beancount"
    whole.write_text(HEAD + "".join(f'include "{number}.beancount"\n' for number in range(len(files))))
    ran = subprocess.run([BEAN_CHECK, "--no-cache", whole], capture_output=True, text=True, timeout=300, check=False)
    return ran.returncode, ran.stdout + ran.stderr


def test_every_odd_name_is_accepted_and_adjoining_periods_fit_together(tmp_path):
    named = [replace(LINE, account=name, asset=other, order_id=other) for name in NAMES for other in NAMES]
    amounts = (Decimal(-5), Decimal(0), Decimal("1." + "1" * 30), None)
    odd = [replace(LINE, amount=amount, kind="refund", said_by="person") for amount in amounts]
    assumed = [replace(LINE, amount=None, assumed_amount=Decimal("1.50"), metadata='{"a b": "x\\n\\"", "ünï": null}')]
    assert checked(tmp_path, named, [*odd, *assumed]) == (0, "")


@given(found=st.lists(lines(), min_size=5, max_size=20))
@settings(max_examples=15, deadline=None)
def test_any_lines_are_accepted(tmp_path_factory, found):
    assert checked(tmp_path_factory.mktemp("books"), found) == (0, "")
