"""`python -m tests.chaos`: runs of consecutive seeds until there were enough kills. `make chaos` starts it."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from tests.acceptance.system import ROOT
from tests.chaos.campaign import Result, run
from tests.chaos.plan import Plan
from tests.chaos.report import show, write

RESULTS = ROOT / "deploy" / "chaos" / "results.json"
FLOW_SECONDS = 75.0
ORDERS_PER_SECOND = 20.0


def main() -> int:
    """1 where a promise was broken; the logs of such a run are kept."""
    options = _read_options()
    if options.plan:
        print(json.dumps(_plan(options, options.seed).printed(), indent=1))
        return 0
    console, began = Console(), time.monotonic()
    results: list[Result] = []
    seed = options.seed
    while not results or (_kills(results) < options.kills and time.monotonic() - began < options.minutes * 60):
        console.print(f"seed {seed}: {len(_plan(options, seed).faults())} faults; the schedule: --plan --seed {seed}")
        results.append(_run_one(_plan(options, seed), console))
        write(results, options.results)
        seed += 1
    show(results, console)
    console.print(f"{_kills(results)} kills, {sum(len(r.findings) for r in results)} breaches; {options.results}")
    return 1 if any(result.findings for result in results) else 0


def _read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="of the first run; the same seed is the same schedule")
    parser.add_argument("--kills", type=int, default=100, help="go on with the next seed until there were so many")
    parser.add_argument("--minutes", type=float, default=15, help="no new run after this time")
    parser.add_argument("--seconds", type=float, default=FLOW_SECONDS, help="of orders and faults in a run")
    parser.add_argument("--rate", type=float, default=ORDERS_PER_SECOND, help="orders per second")
    parser.add_argument("--results", type=Path, default=RESULTS, help="where the figures go")
    parser.add_argument("--plan", action="store_true", help="print the schedule and stop")
    return parser.parse_args()


def _plan(options: argparse.Namespace, seed: int) -> Plan:
    return Plan(seed, options.seconds, options.rate)


def _kills(results: list[Result]) -> int:
    return sum(result.deaths.kills() for result in results)


def _run_one(plan: Plan, console: Console) -> Result:
    folder = Path(tempfile.mkdtemp(prefix="chaos-"))
    columns = TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[words]}"), TimeElapsedColumn()
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(f"seed {plan.seed}", total=1.0, words="")

        def tell(phase: str, done: float, words: str) -> None:
            progress.update(task, description=f"seed {plan.seed} {phase}", completed=done, words=words)

        result = run(plan, folder, tell)
    if result.findings:
        console.print(f"seed {plan.seed}: {len(result.findings)} breaches, logs in {folder}/logs")
    else:
        shutil.rmtree(folder, ignore_errors=True)
    return result


if __name__ == "__main__":
    sys.exit(main())
