"""``python -m tests.scaling``: follows the figure through every scene and prints what came of it."""

from __future__ import annotations

import argparse
import time

from domain.scaling import Bound
from tests.scaling.follow import GOAL_SHARE, Result, judge
from tests.scaling.loads import SCENES

HEAD = "| load | on time (p99) | best possible | workers run | needed | at most |\n|---|---|---|---|---|---|"


def main() -> int:
    """0: the goal was kept wherever it can be, with at most half as many workers again as were needed."""
    parser = argparse.ArgumentParser(prog="python -m tests.scaling", description=__doc__)
    parser.add_argument("--minutes", type=int, default=480, help="of each scene (default 480)")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    begun, broken = time.process_time(), 0
    print(HEAD)
    for scene in SCENES:
        result = judge(scene, options.minutes, options.seed)
        broken += not (result.keeps_goal and result.is_thrifty)
        print(f"{line(result)}", flush=True)
    used = time.process_time() - begun
    print(
        f"\n{len(SCENES)} loads of {options.minutes} minutes, seed {options.seed}: {used:.0f} s of CPU, {broken} broken"
    )
    return 1 if broken else 0


def line(result: Result) -> str:
    """A row of the table."""
    on_time, best = f"{result.on_time:.1%} ({result.p99_seconds:g} s)", f"{result.best_on_time:.1%}"
    bounds = ", ".join(
        f"{bound} {share:.0%}" for bound, share in result.bounds.items() if share and bound != Bound.NONE
    )
    kept = "" if result.best_on_time >= GOAL_SHARE else " can't be kept"
    return (
        f"| {result.scene}: {bounds} | {on_time} | {best}{kept} | {result.run:.1f} | {result.needed:.1f} "
        f"| {result.most:.2f} times |"
    )


if __name__ == "__main__":
    raise SystemExit(main())
