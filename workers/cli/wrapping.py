"""Prose on a terminal: as many lines as it needs, each further one indented below the first."""

from __future__ import annotations

import textwrap

from workers.cli.table import output_width
from workers.cli.text import shown

#: However deep the indent, this much room is left for the text.
LEAST_CELLS = 20


def wrap(start: str, text: str) -> str:
    """``text`` behind ``start``. No word is broken, so that ids and commands can be copied; a pipe gets one line."""
    width, line = output_width(), shown(text).replace("\n", " ")
    if width is None or len(start) + len(line) <= width:
        return f"{start}{line}"
    return textwrap.fill(
        line,
        max(width, len(start) + LEAST_CELLS),
        initial_indent=start,
        subsequent_indent=" " * len(start),
        break_long_words=False,
        break_on_hyphens=False,
    )
