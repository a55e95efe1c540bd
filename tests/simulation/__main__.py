"""``python -m tests.simulation --seed 1 --histories 1000``: long runs, replays, and what a planted bug looks like."""

from __future__ import annotations

import argparse
import sys
import time
from contextlib import nullcontext, suppress
from typing import Any

from tests.simulation import callback_mutations  # noqa: F401 - adds its own
from tests.simulation.history import History, run_history
from tests.simulation.mutations import MUTATIONS
from tests.simulation.plan import NAMES


def main() -> int:
    """0: every history kept every promise."""
    options = _options()
    planted: Any = nullcontext()
    if options.mutation:
        (mutation,) = (one for one in MUTATIONS if one.name == options.mutation)
        planted = mutation.plant()
        options.profile = options.profile or mutation.profile
    begun, done, steps, broken = time.process_time(), 0, 0, 0
    with planted, suppress(KeyboardInterrupt):
        for seed in range(options.seed, options.seed + options.histories):
            history = run_history(seed, options.profile)
            done, steps, broken = done + 1, steps + history.steps, broken + bool(history.findings)
            if history.findings or options.trace:
                tell(history)
            if history.findings and not options.go_on:
                break
    used = time.process_time() - begun
    print(f"{done} histories, {steps} steps, {broken} broken, {used:.0f} s of CPU, {done / used * 60:.0f} a minute")
    return 1 if broken else 0


def tell(history: History) -> None:
    """A history in full, with the command that replays it."""
    print(f"seed {history.seed}, {history.profile}, {history.seconds:.1f} s, trace {history.digest[:16]}")
    print("\n".join(f"  {line}" for line in history.trace))
    for finding in history.findings:
        print(f"BROKEN {finding}")
    print(f"again: python -m tests.simulation --seed {history.seed} --profile '{history.profile}'")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seed", type=int, default=0, help="of the first history")
    parser.add_argument("--histories", type=int, default=1)
    parser.add_argument("--profile", choices=NAMES, help="what may go wrong; without it the seed chooses")
    parser.add_argument("--mutation", choices=[one.name for one in MUTATIONS], help="with this bug planted")
    parser.add_argument("--trace", action="store_true", help="print histories that kept every promise too")
    parser.add_argument("--go-on", action="store_true", help="after a broken history as well")
    return parser.parse_args()


sys.exit(main())
