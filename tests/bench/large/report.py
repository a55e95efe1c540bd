"""What was measured at each size, as tables in Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from tests.bench.large.writes import Written, show
from tests.bench.results import commit

GOAL = 1.3
COUNTED = 2000  #: orders whose writes are counted
_HEAD = """# What grows with the tables, and what an order writes

`python -m tests.bench.large --rows {rows}`, commit {commit}: the same work by turns, {rounds} rounds, 1 GB of shared
buffers. {history:.0%} of the orders have their history, as retention leaves it in a year. Order ids, references,
addresses and transactions are random. Indexes were read once before. WAL in bytes; PostgreSQL writes a page whole when
it is changed for the first time after a checkpoint.

"""


@dataclass(frozen=True, slots=True)
class Measured:
    """At one size. ``medians``: milliseconds, by what was done."""

    rows: int
    gigabytes: float
    medians: Mapping[str, float]
    written: Sequence[Written]


def grown(found: Sequence[Measured]) -> list[str]:
    """What takes longer than the goal times what it took at the first size."""
    first = found[0].medians
    return [name for name in first if max(one.medians[name] for one in found) > GOAL * first[name]]


def page(found: Sequence[Measured], history: float, rounds: int) -> str:
    """All of it, with what it is."""
    rows = " ".join(str(one.rows) for one in found)
    return _HEAD.format(rows=rows, history=history, rounds=rounds, commit=commit()) + "\n".join(tables(found)) + "\n"


def tables(found: Sequence[Measured]) -> Iterator[str]:
    """Times, then what an order writes."""
    yield "| ms, the median |" + "".join(f" {one.rows:,} orders, {one.gigabytes:.1f} GB |" for one in found)
    yield "|---|" + "--:|" * len(found)
    for name, before in found[0].medians.items():
        shown = (f" {one.medians[name]:.2f} ({one.medians[name] / before:.2f}) |" for one in found)
        yield f"| {name} |" + "".join(shown)
    yield f"\nAbove {GOAL} times: {', '.join(grown(found)) or 'nothing'}."
    for one in found:
        yield f"\nWith {one.rows:,} orders in the tables, {COUNTED:,} in a row after a checkpoint:\n"
        yield show(one.written)
