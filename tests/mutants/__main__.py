"""``python -m tests.mutants``: mutmut over the domain and the judge, changed functions first, for so long at most.

What it found is written to deploy/mutants.md: the score of each module, and every mutant that survived.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.mutants.changes import changed_functions
from tests.mutants.score import is_tried, read_verdicts, render

ROOT = Path(__file__).resolve().parents[2]
WORK = ROOT / "mutants"  #: mutmut's own: a copy of the tree with every mutant in it, and the verdicts so far
MUTMUT = str(Path(sys.executable).with_name("mutmut"))
KEPT = ROOT / "deploy" / "mutants.md"
STOP_SECONDS = 60  #: for what is under way when the time is up


def main() -> int:
    """0: there is a score, whatever it is."""
    options = _options()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in the background, and mutmut would inherit that
    if not options.go_on:
        shutil.rmtree(WORK, ignore_errors=True)
    ends_at = time.monotonic() + options.minutes * 60
    first = options.only or changed_functions(ROOT, options.since)
    if first:
        print(f"first: {len(first)} patterns of functions, {' '.join(first[:3])} …", flush=True)
        run(first, ends_at)
    if not options.only:
        run([], ends_at)
    verdicts = read_verdicts(mutmut("results", "--all", "true"))
    if not is_tried(verdicts):
        print("no mutant has a verdict: more minutes, or see what mutmut says above", file=sys.stderr)
        return 1
    text = render(verdicts)
    if not options.only:
        KEPT.write_text(text)
    print(text.partition("## Survivors")[0])
    return 0


def run(patterns: list[str], ends_at: float) -> None:
    """Try mutants by their names, or all that have no verdict yet. Stopped when the time is up; verdicts are kept."""
    left = ends_at - time.monotonic()
    if left <= 0:
        return
    process = subprocess.Popen([MUTMUT, "run", *patterns], cwd=ROOT, env=_environment(), start_new_session=True)
    try:
        process.wait(left)
    except subprocess.TimeoutExpired:
        _stop(process)
    except KeyboardInterrupt:
        _stop(process)
        raise


def _stop(process: subprocess.Popen[bytes]) -> None:
    """It alone is told: a mutant's tests that are interrupted would look as if they had found it."""
    process.send_signal(signal.SIGINT)
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def mutmut(*arguments: str) -> str:
    """What a command of mutmut's prints."""
    done = subprocess.run(
        [MUTMUT, *arguments], cwd=ROOT, env=_environment(), stdout=subprocess.PIPE, text=True, check=True
    )
    return done.stdout


def _environment() -> dict[str, str]:
    """Its own warnings (a name that it guesses, a file that it skips) are no errors."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("INVOICES_")}
    return ours | {"PYTHONWARNINGS": "ignore"}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("--minutes", type=float, default=20, help="for all of it (default: 20)")
    parser.add_argument("--since", default="HEAD~20", help="functions changed since this commit come first")
    parser.add_argument("--only", nargs="*", default=[], help="mutants by name, as domain.money.*; nothing is kept")
    parser.add_argument("--go-on", action="store_true", help="keep the verdicts of the last run, try the rest")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
