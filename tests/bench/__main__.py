"""`python -m tests.bench`: all rows, or those named; each is kept as soon as it is measured.

`--check` compares with the kept results and keeps nothing. Ends with 0; 1: a row failed or, with `--check`, got worse
by more than a fifth; 2: there is nothing to compare with.
"""

from __future__ import annotations

import argparse
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from tests.bench import (
    api_rows,
    by_hand_rows,
    callback_rows,
    console_rows,
    cost_rows,
    expiry_rows,
    http_rows,
    latency_rows,
    load_rows,
    observer_rows,
    pooled_rows,
    process_rows,
    rival_rows,
    sql_rows,
    sqlite_rows,
    trace_rows,
    why_rows,
)
from tests.bench.comparison import IncomparableError, compare, kept_rows
from tests.bench.ground import Ground
from tests.bench.report import goal, number, plot, table
from tests.bench.results import Row, load, results_path, rows_of, save, stamp
from tests.bench.sizes import chosen
from tests.bench.usage import machine_seconds

MODULES: tuple[Any, ...] = (
    http_rows,
    sql_rows,
    expiry_rows,
    process_rows,
    rival_rows,
    by_hand_rows,
    pooled_rows,
    sqlite_rows,
    latency_rows,
    callback_rows,
    api_rows,
    cost_rows,
    observer_rows,
    trace_rows,
    load_rows,
    why_rows,
    console_rows,
)


def main() -> int:
    """Measure, show, keep or compare."""
    arguments, sizes = _arguments(), chosen()
    console = Console()
    if not console.is_terminal:
        console = Console(width=220)  # a file has no width: the table is not to be cut
    path = results_path(sizes.name)
    if arguments.show:
        console.print(table(rows_of(load(path)), sizes.name))
        return 0
    try:
        before = kept_rows(load(path) if path.exists() else None, sizes.name, arguments.rows) if arguments.check else []
    except IncomparableError as error:
        console.print(f"[yellow]{error}[/yellow]")
        return 2
    with Ground(sizes) as ground:
        known = {key: measure for module in MODULES for key, measure in module.rows(ground).items()}
        unknown = sorted(set(arguments.rows) - set(known))
        if unknown:
            console.print(f"there is no row {', '.join(unknown)}; there are {', '.join(known)}")
            return 2
        if arguments.list:
            console.print(*known, sep="\n")
            return 0
        wanted = {key: known[key] for key in arguments.rows or known}
        measured, failed = measure_all(
            console, wanted, (lambda _: None) if arguments.check else _keep(path, sizes.name)
        )
    console.print(table(measured, sizes.name))
    if arguments.check:
        return max(compare(console, before, measured), min(failed, 1))
    console.print(f"kept in {path} and {path.with_suffix('.svg')}")
    return min(failed, 1)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("rows", nargs="*", help="keys of rows; default: all")
    parser.add_argument("--check", action="store_true", help="compare with the kept results of the same sizes")
    parser.add_argument("--list", action="store_true", help="print the keys")
    parser.add_argument("--show", action="store_true", help="print the kept results")
    return parser.parse_args()


def _keep(path: Path, sizes_name: str) -> Callable[[Sequence[Row]], None]:
    def keep(rows: Sequence[Row]) -> None:
        save(rows, sizes_name, path)
        plot(rows_of(load(path)), path.with_suffix(".svg"))

    return keep


def measure_all(
    console: Console, wanted: Mapping[str, Callable[[], Row | list[Row]]], keep: Callable[[Sequence[Row]], None]
) -> tuple[list[Row], int]:
    """One after the other, with progress, each kept at once; one that fails is told, the others are measured.

    Gives the rows and how many measurements failed.
    """
    found: list[Row] = []
    failed = 0
    with _progress(console) as progress:
        task = progress.add_task("", total=len(wanted))
        for key, measure in wanted.items():
            progress.update(task, description=key)
            start = time.perf_counter()
            try:
                rows = _measured(measure)
            except KeyboardInterrupt:
                progress.console.print(f"[red]interrupted in {key}[/red]; the rows before it are kept")
                return found, failed + 1
            except Exception:
                failed += 1
                progress.console.print(f"[red]{key} failed[/red]\n{traceback.format_exc()}")
            else:
                keep(rows)
                found += rows
                _tell(progress.console, rows, time.perf_counter() - start)
            progress.advance(task)
    return found, failed


def _measured(measure: Callable[[], Row | list[Row]]) -> list[Row]:
    counted, stolen = machine_seconds()
    found = measure()
    now_counted, now_stolen = machine_seconds()
    share = (now_stolen - stolen) / max(now_counted - counted, 0.01)
    return [stamp(row, share) for row in (found if isinstance(found, list) else [found])]


def _progress(console: Console) -> Progress:
    counts = SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    return Progress(*counts, console=console)


def _tell(console: Console, rows: Sequence[Row], seconds: float) -> None:
    for row in rows:
        verdict = f"goal {goal(row)}, {row.verdict}" if row.goal is not None else row.unit
        console.print(f"{row.key}: {number(row.ratio)} ({verdict}), {seconds:.0f} s, stolen {row.stolen:.0%}")


if __name__ == "__main__":
    sys.exit(main())
