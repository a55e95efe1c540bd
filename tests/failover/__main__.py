"""`python -m tests.failover`: the drill with more load, in each way of committing; prints a small table."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.engines import MissingEngineError
from tests.failover.drill import Figures, Plan, fail_over, stage

#: What a commit waits for; `cut-off`: as `on`, and the primary isn't killed, but can't be reached any more; `pooled…`:
#: behind PgBouncer.
PLANS = {
    "asynchronous": Plan("asynchronous"),
    "on": Plan("on"),
    "remote_apply": Plan("remote_apply"),
    "cut-off": Plan("on", is_cut_off=True),
    "pooled": Plan("on", is_pooled=True),
    "pooled-cut-off": Plan("on", is_cut_off=True, is_pooled=True),
}
#: Lines of the table: what is said, and the figure's name.
LINES = {
    "orders taken": "orders",
    "replica promoted after, s": "promoted_seconds",
    "first order over HTTP after, s": "first_order_seconds",
    "longest time without one, s": "longest_gap_seconds",
    "answers 503": "answered_503",
    "answered 202 and lost": "lost_orders",
    "of them created twice": "created_twice",
    "doubts": "doubts",
    "messages rejected": "rejected_messages",
    "events told": "told",
    "of them lost here": "told_of_lost",
}


def main() -> int:
    """0 unless a promise is broken: that raises."""
    parser = argparse.ArgumentParser(prog="python -m tests.failover", description=__doc__)
    parser.add_argument("--ways", nargs="+", choices=PLANS, default=list(PLANS))
    parser.add_argument("--orders", type=int, default=300, help="before the primary goes, and as many after")
    parser.add_argument("--per-second", type=float, default=20.0)
    parser.add_argument("--json", type=Path, help="write the figures here")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # servers are put away
    found = []
    for way in options.ways:
        plan = replace(PLANS[way], orders=options.orders, per_second=options.per_second)
        try:
            found.append(_run(plan))
        except MissingEngineError as error:
            print(f"{plan.name}: skipped: {error}")
    if options.json:
        options.json.write_text(json.dumps([one.as_json() for one in found], indent=1) + "\n")
    _show(found)
    return 0


def _run(plan: Plan) -> Figures:
    with (
        tempfile.TemporaryDirectory(prefix="invoices-", ignore_cleanup_errors=True) as home,
        stage(Path(home), plan) as staged,
    ):
        return fail_over(staged, plan)


def _show(found: list[Figures]) -> None:
    table = Table("", *(one.name for one in found))
    for words, name in LINES.items():
        values = [getattr(one, name) for one in found]
        table.add_row(words, *(f"{value:.1f}" if isinstance(value, float) else str(value) for value in values))
    Console().print(table)


if __name__ == "__main__":
    sys.exit(main())
