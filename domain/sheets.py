"""Lines of CSV for spreadsheets (RFC 4180). What somebody wrote must not be taken for a formula there."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from decimal import Decimal

from domain.money import format_amount

#: A cell that begins so is one to some spreadsheet (the last four are as wide as Chinese characters); so is one that
#: begins so behind a blank.
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def csv_line(values: Iterable[object]) -> str:
    """One line, with its end. None is empty; a Decimal is a number, below zero too."""
    out = io.StringIO()
    csv.writer(out, lineterminator="\r\n").writerow([_written(value) for value in values])
    return out.getvalue()


def _written(value: object) -> str:
    if value is None:
        return ""
    return format_amount(value) if isinstance(value, Decimal) else cell(str(value))


def cell(text: str) -> str:
    """The text, with an apostrophe before it where it would be a formula."""
    return f"'{text}" if text.lstrip(" ").startswith(FORMULA) else text
