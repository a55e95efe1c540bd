"""`python -m tests.chaos`: runs of consecutive seeds until there were enough kills. `make chaos` starts it."""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from tests.acceptance.system import ROOT
from tests.chaos.audit import Finding
from tests.chaos.campaign import Result, run
from tests.chaos.crew import Deaths
from tests.chaos.hosts import MissingHostsError
from tests.chaos.plan import ENGINES, Plan
from tests.chaos.report import commit, markdown, show, write
from tests.engines import MissingEngineError

RESULTS = ROOT / "deploy" / "chaos" / "results.json"
FLOW_SECONDS = 180.0
ORDERS_PER_SECOND = 15.0


def main() -> int:
    """1 where a promise was broken; the logs of such a run are kept."""
    options = _read_options()
    if options.plan:
        print(json.dumps(_plan(options, options.seed).printed(), indent=1))
        return 0
    if options.table:
        print(markdown(json.loads(options.results.read_text())))
        return 0
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # engines and hosts are put away
    try:
        return _run_seeds(options, Console())
    except (MissingEngineError, MissingHostsError) as error:
        print(f"skipped: {error}")
        return 0


def _run_seeds(options: argparse.Namespace, console: Console) -> int:
    began = time.monotonic()
    results: list[Result] = []
    seed = options.seed
    while not results or (_kills(results) < options.kills and time.monotonic() - began < options.minutes * 60):
        console.print(f"seed {seed}: {len(_plan(options, seed).faults())} faults; the schedule: --plan --seed {seed}")
        results.append(_run_one(_plan(options, seed), console))
        write(results, options.results, _command(options))
        console.print(
            f"seed {seed}: {results[-1].deaths.kills()} kills in {results[-1].seconds:.0f} s, "
            f"{len(results[-1].findings)} breaches; so far {_kills(results)} kills"
        )
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
    parser.add_argument("--hosts", type=int, choices=(1, 2), default=1, help="2: in network namespaces (root)")
    parser.add_argument("--engine", choices=ENGINES, default="postgresql", help="the database")
    parser.add_argument("--calm", action="store_true", help="only faults that no create's answer is lost by")
    parser.add_argument("--results", type=Path, default=RESULTS, help="where the figures go")
    parser.add_argument("--plan", action="store_true", help="print the schedule and stop")
    parser.add_argument("--table", action="store_true", help="print the kept results as Markdown and stop")
    options = parser.parse_args()
    if options.hosts > 1 and options.engine == "sqlite":
        parser.error("--hosts: SQLite is for one host")
    return options


def _plan(options: argparse.Namespace, seed: int) -> Plan:
    return Plan(seed, options.seconds, options.rate, options.hosts, options.engine, options.calm)


def _command(options: argparse.Namespace) -> str:
    hosts = f" HOSTS={options.hosts}" if options.hosts > 1 else ""
    engine = f" ENGINE={options.engine}" if options.engine != "postgresql" else ""
    calm = " CALM=1" if options.calm else ""
    return f"make chaos SEED={options.seed} KILLS={options.kills} MINUTES={options.minutes:g}{hosts}{engine}{calm}"


def _kills(results: list[Result]) -> int:
    return sum(result.deaths.kills() for result in results)


def _run_one(plan: Plan, console: Console) -> Result:
    folder = Path(tempfile.mkdtemp(prefix="chaos-"))
    columns = TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[words]}"), TimeElapsedColumn()
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(f"seed {plan.seed}", total=1.0, words="")

        def tell(phase: str, done: float, words: str) -> None:
            progress.update(task, description=f"seed {plan.seed} {phase}", completed=done, words=words)

        began = time.monotonic()
        try:
            result = run(plan, folder, tell)
        except (MissingEngineError, MissingHostsError):
            raise
        except Exception:
            # A campaign that can't go on is a breach too, and no reason to forget the runs before it.
            result = Result(plan.seed, Deaths(), Counter(), [Finding("a run to its end", traceback.format_exc())])
        result.seconds, result.commit = time.monotonic() - began, commit()
    if result.findings:
        console.print(f"seed {plan.seed}: {len(result.findings)} breaches, logs in {folder}/logs")
    else:
        shutil.rmtree(folder, ignore_errors=True)
    return result


if __name__ == "__main__":
    sys.exit(main())
