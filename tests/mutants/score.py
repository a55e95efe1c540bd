"""The score of a mutation run, for people: by module, and what survived."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping

FOUND = ("killed", "timeout", "segfault", "suspicious")  #: the tests noticed it, one way or another
MISSED = ("survived", "no tests")
_LINE = re.compile(r"^\s*(?P<module>\S+)\.(?P<mutant>x\S+__mutmut_\d+): (?P<verdict>.+?)\s*$")

Verdicts = Mapping[str, Mapping[str, str]]

HEAD = """\
# Mutants

What `make mutants` found last: mutmut changes the code in one place at a time (a comparison, a constant, a call), and
the tests that reach the place have to fail. A module's score is the share of the tried mutants that were found. The
unit tests of the domain and the judge's contract tests on SQLite were run; what only other property tests, the
simulation or PostgreSQL would find counts as missed here. Not every survivor is a hole: some change a message's words,
or nothing.

"""


def read_verdicts(printed: str) -> dict[str, dict[str, str]]:
    """Module -> mutant -> verdict, from what ``mutmut results`` prints."""
    found: dict[str, dict[str, str]] = defaultdict(dict)
    for line in printed.splitlines():
        if told := _LINE.match(line):
            found[told["module"]][told["mutant"]] = told["verdict"]
    return dict(found)


def is_tried(verdicts: Verdicts) -> bool:
    """Whether a single one was."""
    return any(verdict in FOUND + MISSED for mutants in verdicts.values() for verdict in mutants.values())


def score(counts: Mapping[str, int]) -> str:
    """Per cent of the tried ones that were found."""
    found, missed = (sum(counts.get(name, 0) for name in names) for names in (FOUND, MISSED))
    return f"{100 * found / (found + missed):.1f} %" if found + missed else "-"


def render(verdicts: Verdicts) -> str:
    """The kept file."""
    table = ["| module | score | found | survived | no test | not tried |", "|---|---|---|---|---|---|"]
    every: Counter[str] = Counter()
    for module, mutants in sorted(verdicts.items()):
        counts = Counter(mutants.values())
        every += counts
        table.append(_row(f"`{module}`", counts))
    table.append(_row("**all**", every))
    left = [
        f"- `{module}.{mutant}`"
        for module, mutants in sorted(verdicts.items())
        for mutant, verdict in sorted(mutants.items(), key=lambda one: _place(one[0]))
        if verdict == "survived"
    ]
    shown = "`mutmut show NAME` prints what was changed.\n"
    return "\n".join([HEAD + table[0], *table[1:], "", "## Survivors", "", shown, *left, ""])


def _row(name: str, counts: Mapping[str, int]) -> str:
    found = sum(counts.get(verdict, 0) for verdict in FOUND)
    rest = sum(counts.values()) - found - sum(counts.get(verdict, 0) for verdict in MISSED)
    return (
        f"| {name} | {score(counts)} | {found} | {counts.get('survived', 0)} | {counts.get('no tests', 0)} | {rest} |"
    )


def _place(mutant: str) -> tuple[str, int]:
    name, _, number = mutant.rpartition("_")
    return name, int(number)
