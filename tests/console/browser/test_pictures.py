"""The pictures in deploy/console are of the console as it is."""

from __future__ import annotations

import json

import pytest

from tests.console.pictures import FOLDER, PICTURES, WORDS, demo, take

STALE = "the page has changed since its picture was taken: `make pictures`, and look at it"


@pytest.mark.timeout(900)
def test_every_picture_can_be_taken_of_a_real_demo_and_shows_what_the_kept_one_shows(chromium, tmp_path):
    with demo(48) as link:
        said = take(chromium, link, tmp_path)

    kept = json.loads((FOLDER / WORDS).read_text(encoding="utf-8"))
    assert {picture.name for picture in PICTURES} == set(said)
    for picture in PICTURES:
        assert (tmp_path / f"{picture.name}.png").stat().st_size > 10_000
        assert (FOLDER / f"{picture.name}.png").exists(), STALE
        assert said[picture.name] == kept[picture.name], STALE
