"""Lines of CSV for spreadsheets (RFC 4180). What somebody wrote must not be taken for a formula there."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable

#: A cell that begins so is one to some spreadsheet (the last four are as wide as Chinese characters); so is one that
#: begins so behind a blank.
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def csv_line(values: Iterable[object]) -> str:
    """One line, with its end. None is empty."""
    out = io.StringIO()
    csv.writer(out, lineterminator="\r\n").writerow(["" if value is None else cell(str(value)) for value in values])
    return out.getvalue()


def cell(text: str) -> str:
    """The text, with an apostrophe before it where it would be a formula."""
    return f"'{text}" if text.lstrip(" ").startswith(FORMULA) else text
