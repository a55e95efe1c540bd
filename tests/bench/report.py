"""The results as a table for people and as a picture: how far each row is above or below its goal."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from html import escape
from pathlib import Path

from rich.table import Table

from tests.bench.results import Row

SOME_STOLEN = 0.01  #: a share of the machine worth telling
WIDTH, LEFT, RIGHT, LINE = 1180, 600, 190, 26
#: The picture's axis, as multiples of the goal.
LEAST, MOST = 0.1, 10.0
GOOD, BAD, PLAIN = "#2e7d4f", "#b3412e", "#5b6770"


def number(value: float) -> str:
    """Three digits that count."""
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"


def spread(row: Row) -> str:
    """The lowest and the highest round."""
    return f"{number(min(row.ratios))} - {number(max(row.ratios))}"


def goal(row: Row) -> str:
    """As a condition."""
    return "" if row.goal is None else f"{'≥' if row.better == 'more' else '≤'} {number(row.goal)}"


def table(rows: Sequence[Row], sizes_name: str) -> Table:
    """One line a row: what, against what, the medians, the figure that is judged with its spread, goal and verdict."""
    shown = Table(title=f"make bench, {sizes_name} sizes", title_justify="left", show_lines=False)
    for name in ("what", "against"):
        shown.add_column(name, overflow="fold")
    for name in ("ours", "theirs", "unit", "figure", "spread", "goal", "verdict"):
        shown.add_column(name, justify="right", no_wrap=True)
    shown.add_column("CPU-ms each", justify="right", overflow="fold")
    for row in rows:
        middle = [number(statistics.median(values)) if values else "" for values in (row.ours, row.theirs)]
        colour = {None: "", True: "[green]", False: "[red]"}[row.met]
        cpu = ", ".join(f"{name} {value:.2f}" for name, value in row.cpu_ms.items())
        notes = [row.note] * bool(row.note) + [f"{row.stolen:.0%} of the machine stolen"] * (row.stolen > SOME_STOLEN)
        what = row.what + (f" [dim]({'; '.join(notes)})[/dim]" if notes else "")
        figures = number(row.ratio), spread(row), goal(row), f"{colour}{row.verdict}"
        shown.add_row(what, row.against, *middle, row.unit, *figures, cpu)
    return shown


def plot(rows: Sequence[Row], path: Path) -> None:
    """An SVG: a bar a row that has a goal, on a logarithmic axis; 1 is the goal, to the right of it is better."""
    shown = sorted((row for row in rows if row.goal is not None), key=lambda row: not _is_headline(row))
    height = LINE * (len(shown) + 2) + 20
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" '
        f'font-size="13"><rect width="{WIDTH}" height="{height}" fill="#fff"/>',
        *(_axis_line(value, height) for value in (0.1, 0.2, 0.5, 1, 2, 5, 10)),
    ]
    for place, row in enumerate(shown, start=1):
        parts += _bar(row, LINE * place)
    parts.append(f'<text x="{_x(1)}" y="{height - 8}" text-anchor="middle" fill="{PLAIN}">times the goal</text></svg>')
    path.write_text("\n".join(parts) + "\n", encoding="utf-8")


def _bar(row: Row, top: int) -> list[str]:
    middle, low, high = (_x(_share(row, value)) for value in (row.ratio, min(row.ratios), max(row.ratios)))
    start, end = sorted((_x(1), middle))
    colour, line = GOOD if row.met else BAD, top + 11
    text = f"{number(row.ratio)}, goal {goal(row)}: {row.verdict}"
    return [
        f'<text x="{LEFT - 10}" y="{top + 15}" text-anchor="end">{escape(_label(row))}</text>',
        f'<rect x="{start:.1f}" y="{top + 3}" width="{max(end - start, 1):.1f}" height="16" fill="{colour}"/>',
        f'<path d="M{low:.1f} {line}H{high:.1f}M{low:.1f} {line - 4}v8M{high:.1f} {line - 4}v8" stroke="#222"/>',
        f'<text x="{WIDTH - RIGHT + 8}" y="{top + 15}" font-size="11" fill="{PLAIN}">{escape(text)}</text>',
    ]


def _is_headline(row: Row) -> bool:
    """The whole way against the best of others."""
    return row.key.startswith("rival-")


def _label(row: Row) -> str:
    """Rivals' rows are alike but for the rival."""
    return f"{row.what}, against {row.against}" if _is_headline(row) else row.what


def _axis_line(value: float, height: int) -> str:
    x, strong = _x(value), value == 1
    return (
        f'<path d="M{x:.1f} {LINE - 6}V{height - 24}" stroke="{"#222" if strong else "#ddd"}"/>'
        f'<text x="{x:.1f}" y="{LINE - 10}" text-anchor="middle" font-size="11" fill="{PLAIN}">{value:g}</text>'
    )


def _share(row: Row, ratio: float) -> float:
    assert row.goal is not None
    if row.better == "more":
        return ratio / row.goal
    return row.goal / ratio if ratio > 0 else MOST


def _x(value: float) -> float:
    bounded = min(max(value, LEAST), MOST)
    share = math.log(bounded / LEAST) / math.log(MOST / LEAST)
    return LEFT + share * (WIDTH - LEFT - RIGHT)
