"""The picture of `invoices why`: each cause in its order, and what the command says today."""

from __future__ import annotations

import pytest

from domain.why import Cause
from tests.contracts.why_picture import PICTURE, paragraphs, picture_text, steady


def test_it_shows_each_cause_in_its_order():
    shown = picture_text(PICTURE.read_text())
    places = [shown.index(f" {cause} order") for cause in Cause]
    assert places == sorted(places)


@pytest.mark.engines
def test_it_is_what_the_command_says_of_each_situation():
    """Where this fails: `.venv/bin/python -m tests.contracts.why_picture`, look at it, commit it."""
    assert steady(picture_text(PICTURE.read_text())) == steady(f"invoices why {' '.join(paragraphs().values())}")
