"""`python -m tests.bench`: all rows, or those named. `--check` compares with the kept results and keeps nothing."""

from __future__ import annotations

import argparse
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from tests.bench import http_rows, latency_rows, process_rows, sql_rows
from tests.bench.ground import Ground
from tests.bench.report import goal, number, plot, table
from tests.bench.results import FOLDER, RESULTS, Row, load, rows_of, save, worse
from tests.bench.sizes import chosen

MODULES: tuple[Any, ...] = (http_rows, sql_rows, process_rows, latency_rows)


def main() -> None:
    """Measure, show, keep or compare."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("rows", nargs="*", help="keys of rows; default: all")
    parser.add_argument("--check", action="store_true", help="compare with deploy/bench/results.json")
    parser.add_argument("--list", action="store_true", help="print the keys")
    arguments = parser.parse_args()
    console, sizes = Console(), chosen()
    if not console.is_terminal:
        console = Console(width=200)  # a file has no width: the table is not to be cut
    with Ground(sizes) as ground:
        known = {key: measure for module in MODULES for key, measure in module.rows(ground).items()}
        unknown = sorted(set(arguments.rows) - set(known))
        if unknown:
            parser.error(f"there is no row {', '.join(unknown)}; there are {', '.join(known)}")
        if arguments.list:
            console.print(*known, sep="\n")
            return
        measured = measure_all(console, {key: known[key] for key in arguments.rows or known})
    console.print(table(measured, sizes.name))
    if arguments.check:
        compare(console, measured, sizes.name)
    else:
        save(measured, sizes.name)
        plot(rows_of(load()), FOLDER / "results.svg")
        console.print(f"kept in {RESULTS} and {FOLDER / 'results.svg'}")


def measure_all(console: Console, wanted: Mapping[str, Callable[[], Row | list[Row]]]) -> list[Row]:
    """One after the other, with progress; one that fails is told, and the others are measured all the same."""
    found: list[Row] = []
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("", total=len(wanted))
        for key, measure in wanted.items():
            progress.update(task, description=key)
            start = time.perf_counter()
            try:
                measured = measure()
            except Exception:
                progress.console.print(f"[red]{key} failed[/red]\n{traceback.format_exc()}")
            else:
                took = time.perf_counter() - start
                for row in measured if isinstance(measured, list) else [measured]:
                    found.append(row)
                    progress.console.print(f"{row.key}: {number(row.ratio)} (goal {goal(row) or 'none'}), {took:.0f} s")
            progress.advance(task)
    return found


def compare(console: Console, measured: Sequence[Row], sizes_name: str) -> None:
    """Say what got worse by more than a fifth. Never a failure: another machine, another day."""
    if not RESULTS.exists():
        console.print("nothing to compare with: run `make bench` and keep its results first")
        return
    before = load()
    if before["sizes"] != sizes_name:
        console.print(f"[yellow]the kept results are of {before['sizes']} sizes, these of {sizes_name} sizes[/yellow]")
    found = worse(rows_of(before), measured)
    for old, now, change in found:
        console.print(f"[red]worse by {change:.0%}[/red]: {now.what}: {number(old.ratio)} -> {number(now.ratio)}")
    if not found:
        console.print("nothing got worse by more than a fifth")


if __name__ == "__main__":
    main()
