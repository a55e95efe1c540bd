"""`make bench-check`: what was measured now beside what was kept, and what got worse by more than a fifth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console

from tests.bench.report import number
from tests.bench.results import Row, rows_of

#: What got worse by more than this share is told.
NOTABLE = 0.2
#: A figure that should be small is not told while it moves by less than this share of its goal: from 0.1 to 0.5 MiB
#: of 10 that are allowed is noise, not five times as much.
NOISE = 0.05


class IncomparableError(Exception):
    """Nothing that was kept can be compared with what is to be measured. The sentence says why."""


@dataclass(frozen=True, slots=True)
class Worse:
    """A row that got worse by ``share`` (0.25: by a quarter). ``apart``: no round was as good as any kept one."""

    before: Row
    now: Row
    share: float
    apart: bool


def kept_rows(document: Mapping[str, Any] | None, sizes_name: str, wanted: Sequence[str]) -> list[Row]:
    """The kept rows to compare with. Raises IncomparableError."""
    if document is None:
        raise IncomparableError("nothing to compare with: run `make bench` first and keep its results")
    if document["sizes"] != sizes_name:
        raise IncomparableError(
            f"the kept results are of {document['sizes']} sizes, these would be of {sizes_name} sizes: not comparable"
        )
    rows = rows_of(document)
    if not rows:
        raise IncomparableError(f"no kept results of {sizes_name} sizes for {', '.join(wanted) or 'any row'}")
    return rows


def compare(console: Console, before: Sequence[Row], measured: Sequence[Row]) -> int:
    """Say what got worse by more than a fifth. 0: nothing did; 1: something; 2: no row could be compared."""
    new = unmatched(before, measured)
    if new:
        console.print(f"nothing kept to compare with: {', '.join(new)}")
    if len(new) == len(measured):
        return 2
    found = worse(before, measured)
    for one in found:
        certainty = "in every round" if one.apart else "within the spread of the rounds"
        figures = f"{number(one.before.ratio)} ({one.before.commit or 'earlier'}) -> {number(one.now.ratio)}"
        console.print(f"[red]worse by {one.share:.0%}[/red], {certainty}: {one.now.key}: {one.now.what}: {figures}")
    if not found:
        console.print("nothing got worse by more than a fifth")
    return 1 if found else 0


def worse(before: Sequence[Row], now: Sequence[Row]) -> list[Worse]:
    """Rows that got worse by more than NOTABLE; those that stand on one side only are left out."""
    earlier = {row.key: row for row in before}
    pairs = [(earlier[row.key], row) for row in now if row.key in earlier and row.ratios and earlier[row.key].ratios]
    found = [Worse(old, row, _change(old, row), _apart(old, row)) for old, row in pairs]
    return [one for one in found if one.share > NOTABLE]


def unmatched(before: Sequence[Row], now: Sequence[Row]) -> list[str]:
    """Keys that were measured now and have nothing kept to compare with."""
    earlier = {row.key for row in before}
    return [row.key for row in now if row.key not in earlier]


def _change(old: Row, row: Row) -> float:
    """By which share it got worse; negative when it got better."""
    if row.better == "more":
        return 1 - row.ratio / old.ratio if old.ratio > 0 else 0.0
    if row.ratio - old.ratio <= (row.goal or 0.0) * NOISE:
        return 0.0
    return row.ratio / old.ratio - 1 if old.ratio > 0 else 1.0


def _apart(old: Row, row: Row) -> bool:
    if row.better == "more":
        return max(row.ratios) < min(old.ratios)
    return min(row.ratios) > max(old.ratios)
