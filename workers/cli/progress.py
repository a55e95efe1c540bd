"""A progress bar on standard error, where that is a terminal."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def progress_bar(what: str, total: int | None, *, counts: bool = False) -> Iterator[Callable[[int], None]]:
    """Yields a function that is told how much more is done. ``total`` None: unknown. ``counts``: shown as numbers,
    otherwise in percent."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        SpinnerColumn,
        TaskProgressColumn,
        TextColumn,
        TimeElapsedColumn,
    )

    from workers.cli.output import console

    done = MofNCompleteColumn() if counts else TaskProgressColumn()
    columns = (SpinnerColumn(), TextColumn(what), BarColumn(), done, TimeElapsedColumn())
    with Progress(*columns, console=console(stderr=True), transient=True) as progress:
        task = progress.add_task(what, total=total)
        yield lambda more: progress.advance(task, more)
