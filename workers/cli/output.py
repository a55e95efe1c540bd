"""How results are printed: JSON Lines for programs, tables for people."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING

import click

from domain.event import format_time
from domain.exact_json import write_json
from domain.visible import escape

if TYPE_CHECKING:
    from rich.console import Console

    from workers.cli.table import Cell, Column
    from workers.store.rows import StoredRow

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON Lines and nothing else.")
limit_option = click.option(
    "--limit", type=click.IntRange(min=0), default=50, show_default=True, help="How many at most; 0: all."
)
#: What a row of the store is named by; larger than this are none.
ROW_NUMBER = click.IntRange(1, 2**63 - 1)

#: What a status looks like to a person.
STATUS_STYLES = {
    "queued": "dim",
    "in_doubt": "magenta",
    "pending": "cyan",
    "partially_paid": "blue",
    "confirming": "bright_blue",
    "paid": "green",
    "expired": "yellow",
    "failed": "red",
    "cancelled": "bright_black",
    "refunded": "bright_yellow",
}

PIPE_WIDTH = 240  # what goes into a pipe is not squeezed into 80 columns


def print_json(document: Mapping[str, object]) -> None:
    """One JSON line, flushed: the reader of a pipe gets it at once."""
    _write_line(write_json(document))


def print_bytes(line: bytes) -> None:
    """A line that is JSON already."""
    _write_line(line.decode())


def _write_line(document: str) -> None:
    """In UTF-8, whatever the terminal's encoding; escaped, so that no program sees more than one line."""
    sys.stdout.buffer.write(escape(document).encode() + b"\n")
    sys.stdout.buffer.flush()


def plain(value: object) -> object:
    """A column's value for JSON: times in RFC 3339, bytes as text."""
    if isinstance(value, datetime):
        return format_time(value)
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def about(row: StoredRow) -> tuple[str | None, int | None]:
    """The invoice of an event or a delivery, and the sequence; None and None where it is about no invoice."""
    return (row.invoice_id, row.sequence) if row.sequence else (None, None)


def console(*, stderr: bool = False) -> Console:
    """A console that colours for a terminal only, and does not fold lines at 80 columns for a pipe."""
    from rich.console import Console

    made = Console(stderr=stderr, highlight=False, soft_wrap=False)
    if not made.is_terminal and not os.environ.get("COLUMNS", "").isdecimal():
        made.width = PIPE_WIDTH
    return made


def print_table(columns: Sequence[str | Column], rows: Iterable[Sequence[object]], *, empty: str) -> int:
    """Print a table, one line per row; without rows, ``empty`` on standard error. Returns the number of rows.

    A column that is given by its name alone is never cut.
    """
    from workers.cli.table import GAP, Column, lay_out, output_width

    named = [Column(one) if isinstance(one, str) else one for one in columns]
    laid = lay_out(named, rows, output_width())
    if not laid.lines:
        click.echo(empty, err=True)
        return 0
    coloured = has_colours()
    click.echo(_styled(GAP.join(laid.heading).rstrip(), "bold" if coloured else ""))
    for line in laid.lines:
        click.echo(GAP.join(_styled(cell.text, cell.style if coloured else "") for cell in line).rstrip())
    if laid.left_out:
        left = ", ".join(name for name in laid.left_out if name)
        click.echo(f"no room for {left}: a wider terminal, a pipe and --json have them", err=True)
    return len(laid.lines)


def has_colours() -> bool:
    """Whether standard output is a terminal that takes colours, and its user wants them."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def _styled(text: str, style: str) -> str:
    if not style:
        return text
    return click.style(text, **({style: True} if style in {"bold", "dim"} else {"fg": style}))


def status_cell(status: str, anomaly: str | None = None) -> Cell:
    """A status in its colour, with its anomaly."""
    from workers.cli.table import Cell

    return Cell(f"{status} ({anomaly})" if anomaly else status, STATUS_STYLES.get(status, ""))


def money(amount: Decimal | None, currency: str | None) -> str:
    """An amount with every digit, and its currency."""
    from domain.money import format_amount

    return " ".join(part for part in (None if amount is None else format_amount(amount), currency) if part)
