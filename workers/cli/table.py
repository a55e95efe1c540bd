"""Tables for people: a row is one line, ids stay whole, and columns that a terminal has no room for are named."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

GAP = "  "
CUT = "…"
YEAR = 5  #: characters of a time that a narrow terminal does not show


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table. By default it is never cut and never left out, as ids must be."""

    name: str
    text: int | None = None  #: prose, cut before any column is left out: to no fewer cells than this
    lead: int = 0  #: characters at the beginning that are dropped before anything is cut: a time's year
    rank: int | None = None  #: may be left out, the highest rank first
    key: int | None = None  #: somebody else's id, of any length: cut last, to no fewer cells than this


class Cell(NamedTuple):
    """A cell with a style: a colour of click's, or ``dim``."""

    text: str
    style: str = ""


@dataclass(frozen=True, slots=True)
class Laid:
    """A table that fits. ``lines``: without the heading, cells padded to their columns; ``left_out``: column names."""

    heading: Sequence[str]
    lines: Sequence[Sequence[Cell]]
    left_out: Sequence[str]


def lay_out(columns: Sequence[Column], rows: Iterable[Sequence[object]], width: int | None) -> Laid:
    """The rows in columns that fit ``width`` cells; None: as wide as they need."""
    cells = [[_cell(value) for value in row] for row in rows]
    natural = [max([_width(one.name), *(_width(row[i].text) for row in cells)]) for i, one in enumerate(columns)]
    shown, widths = _fit(columns, natural, width)
    last = shown[-1] if shown else -1

    def padded(text: str, i: int) -> str:
        cut = _cut(text, widths[i])
        return cut if i == last else cut + " " * (widths[i] - _width(cut))

    lead = [one.lead if widths[i] < natural[i] else 0 for i, one in enumerate(columns)]
    heading = [padded(columns[i].name, i) for i in shown]
    lines = [[Cell(padded(row[i].text[lead[i] :], i), row[i].style) for i in shown] for row in cells]
    return Laid(heading, lines, [one.name for i, one in enumerate(columns) if i not in shown])


def output_width() -> int | None:
    """How many cells a line of standard output has; None for a pipe or a file, where nothing is cut.

    COLUMNS counts for both, as it does for other programs.
    """
    if not sys.stdout.isatty() and not os.environ.get("COLUMNS", "").isdecimal():
        return None
    return shutil.get_terminal_size().columns or None


def _fit(columns: Sequence[Column], natural: Sequence[int], width: int | None) -> tuple[list[int], list[int]]:
    """Which columns are shown, and how wide each is."""
    shown, widths = list(range(len(columns))), list(natural)
    while _over(shown, widths, width) > 0:
        for i in shown:
            widths[i] = max(_width(columns[i].name), natural[i] - columns[i].lead)
        _shrink(_over(shown, widths, width), [(i, columns[i].text) for i in shown], widths)
        if _over(shown, widths, width) <= 0:
            break
        ranked = [i for i in shown if columns[i].rank is not None]
        if not ranked:
            _shrink(_over(shown, widths, width), [(i, columns[i].key) for i in shown], widths)
            break
        shown.remove(max(ranked, key=lambda i: columns[i].rank or 0))
        widths = list(natural)
    return shown, widths


def _over(shown: Sequence[int], widths: Sequence[int], width: int | None) -> int:
    """By how many cells a line is too long."""
    return 0 if width is None else sum(widths[i] for i in shown) + len(GAP) * (len(shown) - 1) - width


def _shrink(over: int, least: Iterable[tuple[int, int | None]], widths: list[int]) -> None:
    """Take ``over`` cells from the columns, always from the widest, as far as their ``least`` widths allow."""
    may = {i: most for i, most in least if most is not None}
    for _ in range(max(over, 0)):
        wide = [i for i, most in may.items() if widths[i] > most]
        if not wide:
            return
        widths[max(wide, key=lambda i: widths[i])] -= 1


def _cell(value: object) -> Cell:
    from workers.cli.text import shown

    cell = value if isinstance(value, Cell) else Cell(shown(value))
    return cell if "\n" not in cell.text else cell._replace(text=" ".join(cell.text.splitlines()))


def _width(text: str) -> int:
    """How many cells the text takes on a terminal."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def _cut(text: str, width: int) -> str:
    """The text, or as much of its beginning as fits before a mark."""
    if _width(text) <= width:
        return text
    kept = text[: width - 1]
    while _width(kept) > width - 1:
        kept = kept[:-1]
    return kept + CUT
