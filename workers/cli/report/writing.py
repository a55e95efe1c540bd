"""Where a report goes and in which format: each line as soon as it is read, so that none are held in memory."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path

from domain.exact_json import write_json
from domain.money import format_amount
from domain.sheets import csv_line
from domain.visible import escape
from workers.cli.whole_file import draft

CSV, JSON_LINES, BEANCOUNT = "csv", "jsonl", "beancount"

Row = Mapping[str, object]
Write = Callable[[str], object]
#: Characters that are written at once.
_PORTION = 64 * 1024


def write_rows(write: Write, chosen: str, columns: Sequence[str], rows: Iterable[Row]) -> int:
    """Write rows as CSV, with a heading, or as JSON Lines. Returns how many there were."""
    as_csv = chosen == CSV
    if as_csv:
        write(csv_line(columns))
    count = 0
    for row in rows:
        write(escape(csv_line(row[name] for name in columns)) if as_csv else _json_line(row))
        count += 1
    return count


def _json_line(row: Row) -> str:
    plain = {name: format_amount(value) if isinstance(value, Decimal) else value for name, value in row.items()}
    return f"{escape(write_json(plain))}\n"


@contextmanager
def output_to(path: Path | None) -> Iterator[Write]:
    """Text in UTF-8 to standard output, or to a file that is written whole or not at all, readable by its owner.

    Raises CommandFailed if it can't be such a file."""
    if path is None:
        portion = _Portions(sys.stdout.buffer.write)
        yield portion.write
        portion.flush()
        sys.stdout.buffer.flush()
        return
    with draft(path, "leave it out") as made:
        portion = _Portions(made.file.write)
        yield portion.write
        portion.flush()
        made.keep()


class _Portions:
    """Collects text, and passes it on in portions."""

    def __init__(self, pass_on: Callable[[bytes], object]) -> None:
        self._pass_on = pass_on
        self._parts: list[str] = []
        self._size = 0

    def write(self, text: str) -> None:
        self._parts.append(text)
        self._size += len(text)
        if self._size >= _PORTION:
            self.flush()

    def flush(self) -> None:
        content, self._parts, self._size = "".join(self._parts), [], 0
        self._pass_on(content.encode("utf-8", "replace"))
