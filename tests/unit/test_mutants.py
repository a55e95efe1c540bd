"""What `make mutants` tries first, and how its score is counted."""

from __future__ import annotations

import re
import tomllib
from fnmatch import fnmatch
from pathlib import Path

from tests.mutants.changes import patterns, read_changes
from tests.mutants.score import is_tried, read_verdicts, render, score

ROOT = Path(__file__).resolve().parents[2]
SOURCE = """\
def one():
    return 1


class Thing:
    def two(self):
        def inner():
            return 2
        return inner()

    async def three(self):
        return 3
"""
DIFF = """\
diff --git a/domain/thing.py b/domain/thing.py
--- a/domain/thing.py
+++ b/domain/thing.py
@@ -2 +2 @@ def one():
-    return 0
+    return 1
@@ -8,0 +8 @@ def inner():
+            return 2
@@ -20,3 +12,0 @@
-gone
--- a/domain/notes.txt
+++ b/domain/notes.txt
@@ -1 +1 @@
"""


def test_the_functions_that_a_change_touches_are_named_as_their_mutants_are():
    changes = read_changes(DIFF)
    assert changes == {"domain/thing.py": {2, 8, 12}}
    found = patterns("domain/thing.py", SOURCE, {2, 8})
    assert found == ["domain.thing.x_one__mutmut_*", "domain.thing.xǁThingǁtwo__mutmut_*"]
    assert fnmatch("domain.thing.xǁThingǁtwo__mutmut_11", found[1])


def test_a_line_outside_of_every_function_names_none():
    assert patterns("domain/thing.py", SOURCE, {3, 4, 5}) == []


PRINTED = """\
    domain.money.x_parse__mutmut_1: killed
    domain.money.x_parse__mutmut_2: timeout
    domain.money.x_parse__mutmut_10: survived
    domain.money.x_parse__mutmut_9: survived
    domain.order.xǁOrderǁkey__mutmut_1: no tests
    domain.order.xǁOrderǁkey__mutmut_2: not checked
Some other line: killed
"""


def test_what_was_not_tried_counts_for_nothing_and_what_has_no_test_against_it():
    verdicts = read_verdicts(PRINTED)
    assert {module: len(mutants) for module, mutants in verdicts.items()} == {"domain.money": 4, "domain.order": 2}
    assert score({"killed": 1, "timeout": 1, "survived": 2, "not checked": 7}) == "50.0 %"
    assert score({"not checked": 7}) == "-"
    assert is_tried(verdicts)
    assert not is_tried({"domain.money": {"x_parse__mutmut_1": "not checked"}})
    text = render(verdicts)
    assert "| `domain.money` | 50.0 % | 2 | 2 | 0 | 0 |" in text
    assert "| `domain.order` | 0.0 % | 0 | 0 | 1 | 1 |" in text
    assert "| **all** | 40.0 % | 2 | 2 | 1 | 1 |" in text


def test_survivors_are_listed_in_the_order_of_their_places():
    text = render(read_verdicts(PRINTED))
    assert text.index("x_parse__mutmut_9`") < text.index("x_parse__mutmut_10`")


def test_a_unit_test_of_the_domain_alone_is_among_those_that_have_to_find_mutants():
    options = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["mutmut"]
    listed = {ROOT / name for name in options["pytest_add_cli_args_test_selection"]}
    texts = {path: path.read_text(encoding="utf-8") for path in ROOT.glob("tests/unit/test_*.py")}
    of_domain = {path for path, text in texts.items() if re.search(r"^(from|import) domain\b", text, re.MULTILINE)}
    alone = {
        path for path in of_domain if not re.search(r"^(from|import) (workers|config)\b", texts[path], re.MULTILINE)
    }
    assert len(alone) > 30
    assert alone - listed == set()
    assert all(path.exists() for path in listed)
