"""``deploy/LOGS.md`` lists every line of the log, as the source has it."""

from __future__ import annotations

import re

import pytest

from tests.supply.log_lines import ROOT, Unnamed, find_lines, render
from tests.supply.log_words import WORDS
from workers.engine import Observer

COMMAND = ".venv/bin/python -m tests.supply.log_lines > deploy/LOGS.md"
SOURCE = """
def work(log, more, **given):
    fields = {"invoice_id": 1, **more} | ({"order_id": 2} if more else {})
    log.warning("order.lost", reason="x", **fields)
    log.exception("order.bug", traceback=True)
    log.log(level, "order.odd", exc_info=True)
    print("order.printed")
    tell = log.debug if more else log.info
    tell("order.told", ms=1)
"""


@pytest.fixture(scope="module")
def lines():
    return find_lines()


def source(tmp_path, text):
    (tmp_path / "workers").mkdir()
    (tmp_path / "workers/some.py").write_text(text)
    return tmp_path


def test_the_page_is_as_the_source_is(lines):
    page = (ROOT / "deploy/LOGS.md").read_text(encoding="utf-8")
    assert page == render(lines), f"a line of the log has changed; run: {COMMAND}"


def test_names_say_area_and_what_happened(lines):
    assert [name for name in lines if not re.fullmatch(r"[a-z]+\.[a-z_]+", name)] == []


def test_every_step_of_the_observer_has_a_line_of_its_name(lines):
    """``judged`` has a line for each change of an invoice; ``failed`` one for each trouble; ``handled`` is no step."""
    steps = {name for name in vars(Observer) if not name.startswith("_")} - {"judged", "failed", "handled"}
    assert steps - {name.partition(".")[2] for name in lines} == set()


def test_what_is_explained_is_there(lines):
    assert WORDS.keys() - lines.keys() == set()


def test_what_others_wait_for_is_there(lines):
    assert "url" in lines["web.listening"].fields
    assert "status" in lines["web.request"].fields
    assert {"pump.started", "intake.started", "order.accepted", "clock.skew", "clock.stepped"} <= lines.keys()


def test_levels_and_fields_are_read_from_where_they_are_set(tmp_path):
    found = find_lines(source(tmp_path, SOURCE))
    assert {name: (line.levels, list(line.fields)) for name, line in found.items()} == {
        "order.lost": ({"warning"}, ["reason", "invoice_id", "order_id"]),
        "order.bug": ({"error"}, ["error", "exc_type"]),
        "order.odd": ({"error"}, ["error", "exc_type"]),
        "order.told": ({"debug", "info"}, ["ms"]),
    }


@pytest.mark.parametrize("call", ["log.info(name)", 'log.info("a.b", **given)'])
def test_a_name_or_fields_that_the_source_does_not_tell_are_asked_for(tmp_path, call):
    with pytest.raises(Unnamed, match=r"workers/some\.py:1: say in tests/supply/log_lines\.py"):
        find_lines(source(tmp_path, call))
